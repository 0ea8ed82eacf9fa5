//! The accounts and regions that the settings name, kept between invocations: a role that is assumed already needs no call.

use std::sync::{Arc, Mutex, PoisonError};

use curfew_aws::connect::Connection;
use curfew_aws::organisation::Organisation;
use curfew_core::instance::Region;
use curfew_core::membership::{Member, Membership};

/// The members that the settings were last seen to have.
#[derive(Debug)]
pub struct Members {
    connection: Connection,
    /// The own account in the function's own region: all there is, where the settings say nothing.
    home: Organisation,
    known: Mutex<Known>,
}

/// What is known of the settings' members.
#[derive(Clone, Debug)]
struct Known {
    membership: Arc<Membership>,
    organisation: Organisation,
}

impl Members {
    /// Members that are reached by way of `connection`.
    pub fn new(connection: &Connection) -> Self {
        let membership = Arc::new(Membership::default());
        let home = Organisation::open(connection, &membership);
        Self {
            connection: connection.clone(),
            known: Mutex::new(Known {
                membership,
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
    pub(crate) fn home_member(&self) -> Member {
        Member {
            account: None,
            region: Region::new(self.connection.region()),
        }
    }

    /// Whether the settings that were last seen have no other member than the home one.
    pub(crate) fn are_home_alone(&self) -> bool {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        self.is_home_alone(&known.membership)
    }

    /// All members of `membership`.
    pub(crate) fn of(&self, membership: &Arc<Membership>) -> Organisation {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.membership != *membership {
            *known = Known {
                membership: Arc::clone(membership),
                organisation: if self.is_home_alone(membership) {
                    self.home.clone()
                } else {
                    Organisation::open(&self.connection, membership)
                },
            };
        }
        known.organisation.clone()
    }

    pub(crate) fn is_home_alone(&self, membership: &Membership) -> bool {
        let home = Region::new(self.connection.region());
        membership.accounts.is_empty() && membership.regions(&home) == [home.clone()]
    }
}
