//! The accounts and regions that the configuration names, kept between invocations: a role that is assumed already needs no call.

use std::sync::{Arc, Mutex, PoisonError};

use curfew_aws::connect::Connection;
use curfew_aws::organisation::Organisation;
use curfew_core::account_regions::{AccountRegion, Targets};
use curfew_core::instance::Region;

/// The members that the configuration was last seen to have.
#[derive(Debug)]
pub struct Members {
    connection: Connection,
    /// The own account in the function's own region: all there is, where the configuration says nothing.
    home: Organisation,
    known: Mutex<Known>,
}

/// What is known of the configuration's members.
#[derive(Clone, Debug)]
struct Known {
    targets: Arc<Targets>,
    organisation: Organisation,
}

impl Members {
    /// Members that are reached by way of `connection`.
    pub fn new(connection: &Connection) -> Self {
        let targets = Arc::new(Targets::default());
        let home = Organisation::open(connection, &targets);
        Self {
            connection: connection.clone(),
            known: Mutex::new(Known {
                targets,
                organisation: home.clone(),
            }),
            home,
        }
    }

    /// The own account in the function's own region.
    pub(crate) fn home(&self) -> &Organisation {
        &self.home
    }

    /// The member whose state changes EventBridge tells the function of.
    pub(crate) fn home_account_region(&self) -> AccountRegion {
        AccountRegion {
            account: None,
            region: Region::new(self.connection.region()),
        }
    }

    /// Whether the configuration that were last seen have no other member than the home one.
    pub(crate) fn are_home_alone(&self) -> bool {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        self.is_home_alone(&known.targets)
    }

    /// All members of `membership`.
    pub(crate) fn of(&self, targets: &Arc<Targets>) -> Organisation {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.targets != *targets {
            *known = Known {
                targets: Arc::clone(targets),
                organisation: if self.is_home_alone(targets) {
                    self.home.clone()
                } else {
                    Organisation::open(&self.connection, targets)
                },
            };
        }
        known.organisation.clone()
    }

    pub(crate) fn is_home_alone(&self, targets: &Targets) -> bool {
        let home = Region::new(self.connection.region());
        targets.accounts.is_empty() && targets.regions(&home) == [home.clone()]
    }
}
