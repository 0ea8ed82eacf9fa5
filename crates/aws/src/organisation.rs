//! The fleets of all managed accounts and regions. Passes over them run concurrently, and the failure of one does not affect
//! the others.

mod error;
mod execute;
mod observed;
mod region_results;

use std::sync::{Arc, OnceLock};

use curfew_core::account_regions::{AccountRegion, TargetAccount, Targets};
use curfew_core::instance::{Instance, Region};
use curfew_core::schedule_set::ScheduleSet;
use tokio::time::Instant;

use crate::clock::Clock;
use crate::connect::Connection;
use crate::error::CloudError;
use crate::execute::Deadline;
use crate::fleet::{Fleet, Scope};
use crate::join_bounded::join_bounded;
use crate::pass::{Pass, PassTrigger, look, pass};

pub use error::{AccountRegionError, AccountRegionFailure};
pub use observed::ObservedFleet;
pub use region_results::{CombinedPass, RegionResults};

/// The fleets of all managed accounts and regions. Clones share the connections.
#[derive(Clone, Debug)]
pub struct Organisation {
    account_regions: Arc<[AccountRegionFleet]>,
    /// Whether the organisation spans several account-regions, including those that [`Self::only`] removed: then messages
    /// name them.
    several: bool,
}

/// One account-region, and the connection to its instances.
#[derive(Clone, Debug)]
pub struct AccountRegionFleet {
    /// The account's id and the region.
    pub account_region: AccountRegion,
    /// The account; none for the connection's own.
    pub account: Option<Arc<TargetAccount>>,
    connection: Arc<AccountConnection>,
    fleet: Arc<OnceLock<Fleet>>,
}

/// The connection to an account, shared by its regions.
#[derive(Debug)]
struct AccountConnection {
    home: Connection,
    inside: OnceLock<Connection>,
}

impl Organisation {
    /// Account-regions observed at the same time. A full page of instances takes 2 to 3 MB until it is parsed, so that this
    /// many fit into a function of 256 MB; more are no faster, since parsing takes most of a small function's time.
    pub const MAX_IN_FLIGHT: usize = 32;

    /// The account-regions of `targets`, reached through `connection`; its region is the default. Makes no call, and
    /// creates clients only when they are needed: creating a thousand takes a small function a second.
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

    /// The organisation with only the account-regions for which `keep` returns true.
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

    /// All account-regions, the own account's first.
    pub fn account_regions(&self) -> &[AccountRegionFleet] {
        &self.account_regions
    }

    /// Returns one account-region; none if it is not managed.
    pub fn account_region(&self, account_region: &AccountRegion) -> Option<&AccountRegionFleet> {
        self.account_regions
            .iter()
            .find(|one| one.account_region == *account_region)
    }

    /// Whether there are several account-regions: then messages name the one of an instance.
    pub fn spans_several(&self) -> bool {
        self.several
    }

    /// Observes the instances of `scope` in all account-regions. Those that did not respond by the deadline are among the
    /// failures.
    pub async fn observe(&self, scope: &Scope, deadline: Deadline) -> RegionResults<Vec<Instance>> {
        self.for_each(|fleet| until(deadline, fleet.observe(scope)))
            .await
    }

    /// Looks and decides everywhere, and does nothing.
    pub async fn look(
        &self,
        schedule_set: &ScheduleSet,
        trigger: &PassTrigger<'_>,
        clock: &Clock,
        deadline: Deadline,
    ) -> RegionResults<Pass> {
        let run = |fleet| until(deadline, look(fleet, schedule_set, trigger.clone(), clock));
        self.for_each(run).await
    }

    /// A pass everywhere.
    pub async fn pass(
        &self,
        schedule_set: &ScheduleSet,
        trigger: &PassTrigger<'_>,
        clock: &Clock,
        deadline: Deadline,
    ) -> RegionResults<Pass> {
        // A pass keeps to the deadline itself; cancelled from outside, it would leave executed steps unrecorded.
        let run = |fleet| {
            unless_passed(
                deadline,
                pass(fleet, schedule_set, trigger.clone(), clock, deadline),
            )
        };
        self.for_each(run).await
    }

    /// Queries every account-region; those that the deadline leaves out count as failed.
    async fn for_each<'a, T, F>(&'a self, run: impl Fn(&'a Fleet) -> F) -> RegionResults<T>
    where
        F: Future<Output = Result<T, AccountRegionFailure>>,
    {
        let account_regions = self.account_regions.iter();
        let work: Vec<_> = account_regions.map(|one| run(one.fleet())).collect();
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

    /// An error that names the account-region if there are several.
    pub fn failed(
        &self,
        one: &AccountRegionFleet,
        failure: impl Into<AccountRegionFailure>,
    ) -> AccountRegionError {
        AccountRegionError::new(one, failure.into(), self.spans_several())
    }
}

/// Runs `work`; fails if the deadline has passed before it begins. Once begun, it is not cancelled.
async fn unless_passed<T>(
    deadline: Deadline,
    work: impl Future<Output = Result<T, CloudError>>,
) -> Result<T, AccountRegionFailure> {
    if deadline.has_passed() {
        return Err(AccountRegionFailure::OutOfTime);
    }
    Ok(work.await?)
}

/// Runs `work` until the deadline and cancels it then, so that a slow account-region takes no time from the others.
async fn until<T>(
    deadline: Deadline,
    work: impl Future<Output = Result<T, CloudError>>,
) -> Result<T, AccountRegionFailure> {
    let work = unless_passed(deadline, work);
    let Some(by) = deadline.begin() else {
        return work.await;
    };
    let begun = Instant::now();
    match tokio::time::timeout_at(by, work).await {
        Ok(outcome) => outcome,
        Err(_) => Err(AccountRegionFailure::NoAnswer {
            after: begun.elapsed(),
        }),
    }
}

impl AccountRegionFleet {
    /// The fleet of this account-region. Makes no call: a role is assumed at the fleet's first call.
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
