//! Every managed account and region, each with its fleet. They are processed concurrently, and one may fail without the others.

mod error;
mod execute;
mod observed;
mod region_results;

use std::sync::{Arc, OnceLock};

use curfew_core::account_regions::{AccountRegion, TargetAccount, Targets};
use curfew_core::instance::{Instance, Region};
use tokio::time::Instant;

use crate::connect::Connection;
use crate::error::CloudError;
use crate::execute::{Basis, Deadline};
use crate::fleet::{Fleet, Scope};
use crate::join_bounded::join_bounded;
use crate::pass::Pass;

pub use error::{AccountRegionError, AccountRegionFailure, UnansweredRegion};
pub use observed::ObservedFleet;
pub use region_results::{CombinedPass, RegionResults};

/// Every managed account and region.
#[derive(Clone, Debug)]
pub struct Organisation {
    account_regions: Arc<[AccountRegionFleet]>,
    /// Whether more than one is configured: output then names the account-region of each instance.
    several: bool,
}

/// One account and region, and its instances.
#[derive(Clone, Debug)]
pub struct AccountRegionFleet {
    /// The account and region.
    pub account_region: AccountRegion,
    /// The account; `None` for the account of Curfew's own credentials.
    pub account: Option<Arc<TargetAccount>>,
    connection: Arc<AccountConnection>,
    fleet: Arc<OnceLock<Fleet>>,
}

/// The connection to an account, which its regions share.
#[derive(Debug)]
struct AccountConnection {
    home: Connection,
    inside: OnceLock<Connection>,
}

impl Organisation {
    /// The maximum number of account-regions processed concurrently. A full page of instances takes 2 to 3 MB until it is reduced, so
    /// that this many fit into a function of 256 MB. More is no faster: a small function's time then goes into parsing responses.
    pub const MAX_IN_FLIGHT: usize = 32;

    /// All account-regions of `targets`, reached through `connection`, whose region is home. Makes no call, and creates clients only
    /// when needed: creating a thousand takes a small function a second.
    pub fn open(connection: &Connection, targets: &Targets) -> Self {
        let home = Region::new(connection.region());
        let connection = || {
            Arc::new(AccountConnection {
                home: connection.clone(),
                inside: OnceLock::new(),
            })
        };
        let mut account_regions = Vec::new();
        let mut add = |account: Option<Arc<TargetAccount>>,
                       connection: &Arc<AccountConnection>,
                       region: &Region| {
            account_regions.push(AccountRegionFleet {
                account_region: AccountRegion {
                    account: account.as_ref().map(|account| account.id.clone()),
                    region: region.clone(),
                },
                account,
                connection: Arc::clone(connection),
                fleet: Arc::default(),
            });
        };
        let own = connection();
        for region in targets.regions(&home) {
            add(None, &own, region);
        }
        for account in &targets.accounts {
            let (account, connection) = (Arc::new(account.clone()), connection());
            for region in &account.regions {
                add(Some(Arc::clone(&account)), &connection, region);
            }
        }
        Self {
            several: account_regions.len() > 1,
            account_regions: account_regions.into(),
        }
    }

    /// Returns a copy with the account-regions for which `keep` returns true.
    #[must_use]
    pub fn only(&self, keep: impl Fn(&AccountRegion) -> bool) -> Self {
        let account_regions = self
            .account_regions
            .iter()
            .filter(|one| keep(&one.account_region));
        Self {
            account_regions: account_regions.cloned().collect(),
            several: self.several,
        }
    }

    /// The account-regions; those of Curfew's own account come first.
    pub fn account_regions(&self) -> &[AccountRegionFleet] {
        &self.account_regions
    }

    /// Finds an account-region.
    pub fn account_region(&self, account_region: &AccountRegion) -> Option<&AccountRegionFleet> {
        self.account_regions
            .iter()
            .find(|one| one.account_region == *account_region)
    }

    /// Whether more than one account-region is configured: output then names the account-region of each instance.
    pub fn spans_several(&self) -> bool {
        self.several
    }

    /// Describes the instances of `scope` in every account-region. Account-regions without a response by the deadline count as failed.
    pub async fn observe(&self, scope: &Scope, deadline: Deadline) -> RegionResults<Vec<Instance>> {
        let observe = async |fleet: &Fleet| fleet.observe(scope).await.map(|found| found.instances);
        self.for_each(deadline, observe).await
    }

    /// Observes and plans in every account-region. Changes nothing.
    pub async fn dry_run(&self, basis: Basis<'_>, deadline: Deadline) -> RegionResults<Pass> {
        self.for_each(deadline, |fleet| Pass::dry_run(fleet, &Scope::All, basis))
            .await
    }

    /// Queries every account-region; those that the deadline leaves out count as failed.
    async fn for_each<'a, T, F>(
        &'a self,
        deadline: Deadline,
        ask: impl Fn(&'a Fleet) -> F,
    ) -> RegionResults<T>
    where
        F: Future<Output = Result<T, CloudError>>,
    {
        let account_regions = self.account_regions.iter();
        let work: Vec<_> = account_regions
            .map(|one| in_time(deadline, ask(one.fleet())))
            .collect();
        let outcomes = join_bounded(work, Self::MAX_IN_FLIGHT).await;
        let mut results = RegionResults {
            answers: Vec::new(),
            failures: Vec::new(),
        };
        for (one, outcome) in self.account_regions.iter().zip(outcomes) {
            match outcome {
                Ok(answer) => results.answers.push((one.clone(), answer)),
                Err(failure) => results.failures.push(self.failed(one, failure)),
            }
        }
        results
    }

    /// Adds the account-region to a failure, if more than one is configured.
    pub fn failed(
        &self,
        one: &AccountRegionFleet,
        failure: impl Into<AccountRegionFailure>,
    ) -> AccountRegionError {
        AccountRegionError::new(one, failure.into(), self.spans_several())
    }
}

/// Awaits `work` until the deadline, so that a slow account-region takes no time from the others. Begins nothing after it.
async fn in_time<T>(
    deadline: Deadline,
    work: impl Future<Output = Result<T, CloudError>>,
) -> Result<T, AccountRegionFailure> {
    if deadline.has_passed() {
        return Err(AccountRegionFailure::OutOfTime);
    }
    let Some(by) = deadline.begin() else {
        return Ok(work.await?);
    };
    let begun = Instant::now();
    match tokio::time::timeout_at(by, work).await {
        Ok(outcome) => Ok(outcome?),
        Err(_) => Err(AccountRegionFailure::NoAnswer {
            after: begun.elapsed(),
        }),
    }
}

impl AccountRegionFleet {
    /// The fleet of this account-region. Makes no call: the first call through it assumes the account's role.
    pub fn fleet(&self) -> &Fleet {
        self.fleet.get_or_init(|| {
            let inside = self.connection.inside(self.account.as_deref());
            Fleet::new(&inside.in_region(self.account_region.region.as_str()))
        })
    }
}

impl AccountConnection {
    fn inside(&self, account: Option<&TargetAccount>) -> &Connection {
        self.inside.get_or_init(|| match account {
            Some(account) => self.home.into_account(account),
            None => self.home.clone(),
        })
    }
}
