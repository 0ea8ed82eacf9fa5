//! Caches the connections to the configured accounts and regions between invocations: an assumed role needs no further call.

use std::sync::{Arc, Mutex, PoisonError};

use curfew_aws::connect::Connection;
use curfew_aws::organisation::Organisation;
use curfew_core::account_regions::{AccountRegion, Targets};
use curfew_core::instance::Region;

/// The organisation of the last configuration, and the home account-region.
#[derive(Debug)]
pub struct OrganisationCache {
    connection: Connection,
    /// The function's own account and region: the only account-region where the configuration names no other.
    home: Organisation,
    cached: Mutex<CachedOrganisation>,
}

/// An organisation, with the targets that it was opened for.
#[derive(Clone, Debug)]
struct CachedOrganisation {
    targets: Arc<Targets>,
    organisation: Organisation,
}

impl OrganisationCache {
    /// Creates a cache that connects to account-regions through `connection`.
    pub fn new(connection: &Connection) -> Self {
        let targets = Arc::new(Targets::default());
        let home = Organisation::open(connection, &targets);
        Self {
            connection: connection.clone(),
            cached: Mutex::new(CachedOrganisation {
                targets,
                organisation: home.clone(),
            }),
            home,
        }
    }

    /// The organisation that consists of the function's own account and region.
    pub(crate) fn home(&self) -> &Organisation {
        &self.home
    }

    /// Returns the account-region of the state changes that EventBridge sends to the function.
    pub(crate) fn home_account_region(&self) -> AccountRegion {
        AccountRegion {
            account: None,
            region: Region::new(self.connection.region()),
        }
    }

    /// Whether the last configuration has no other account-region than the home one.
    pub(crate) fn is_home_only(&self) -> bool {
        let cached = self.cached.lock().unwrap_or_else(PoisonError::into_inner);
        self.includes_home_only(&cached.targets)
    }

    /// Returns the organisation of these targets, opened anew only if they changed.
    pub(crate) fn of(&self, targets: &Arc<Targets>) -> Organisation {
        let mut cached = self.cached.lock().unwrap_or_else(PoisonError::into_inner);
        if cached.targets != *targets {
            *cached = CachedOrganisation {
                targets: Arc::clone(targets),
                organisation: if self.includes_home_only(targets) {
                    self.home.clone()
                } else {
                    Organisation::open(&self.connection, targets)
                },
            };
        }
        cached.organisation.clone()
    }

    /// Whether these targets are the home account-region alone.
    pub(crate) fn includes_home_only(&self, targets: &Targets) -> bool {
        let home = Region::new(self.connection.region());
        targets.accounts.is_empty() && targets.regions(&home) == [home.clone()]
    }
}
