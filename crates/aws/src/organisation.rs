//! Every managed account and region, each with its fleet: passes side by side, of which one may fail without the others.

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

/// Every managed account and region.
#[derive(Clone, Debug)]
pub struct Organisation {
    account_regions: Arc<[AccountRegionFleet]>,
    /// Whether there is more than one, these or others: then people need to be told where an instance is.
    several: bool,
}

/// One account and region, and the way to its instances.
#[derive(Clone, Debug)]
pub struct AccountRegionFleet {
    /// Which.
    pub account_region: AccountRegion,
    /// The account, where it is not our own.
    pub account: Option<Arc<TargetAccount>>,
    connection_cell: Arc<AccountConnection>,
    fleet: Arc<OnceLock<Fleet>>,
}

/// The way into an account, which its regions share.
#[derive(Debug)]
struct AccountConnection {
    home: Connection,
    inside: OnceLock<Connection>,
}

impl Organisation {
    /// Members that are asked at the same time. A full page of instances is 2 to 3 MB until it is read, so that this many fit into
    /// a function of 256 MB; more is no faster, since reading the answers is what takes a small function's time by then.
    pub const MAX_IN_FLIGHT: usize = 32;

    /// All account-regions of `targets`, by way of `connection`, whose own region is home. Makes no call and no client until
    /// one is needed: making a thousand takes a small function a second.
    pub fn open(connection: &Connection, targets: &Targets) -> Self {
        let home = Region::new(connection.region());
        let connection_cell = || {
            Arc::new(AccountConnection {
                home: connection.clone(),
                inside: OnceLock::new(),
            })
        };
        let mut account_regions = Vec::new();
        let mut add = |account: Option<Arc<TargetAccount>>,
                       connection_cell: &Arc<AccountConnection>,
                       region: &Region| {
            account_regions.push(AccountRegionFleet {
                account_region: AccountRegion {
                    account: account.as_ref().map(|account| account.id.clone()),
                    region: region.clone(),
                },
                account,
                connection_cell: Arc::clone(connection_cell),
                fleet: Arc::default(),
            });
        };
        let own = connection_cell();
        for region in targets.regions(&home) {
            add(None, &own, region);
        }
        for account in &targets.accounts {
            let (account, connection_cell) = (Arc::new(account.clone()), connection_cell());
            for region in &account.regions {
                add(Some(Arc::clone(&account)), &connection_cell, region);
            }
        }
        Self {
            several: account_regions.len() > 1,
            account_regions: account_regions.into(),
        }
    }

    /// The same without some of its members.
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

    /// The members, the own account's first.
    pub fn account_regions(&self) -> &[AccountRegionFleet] {
        &self.account_regions
    }

    /// One member.
    pub fn account_region(&self, account_region: &AccountRegion) -> Option<&AccountRegionFleet> {
        self.account_regions
            .iter()
            .find(|one| one.account_region == *account_region)
    }

    /// Whether there is more than one: then people need to be told where an instance is.
    pub fn spans_several(&self) -> bool {
        self.several
    }

    /// The instances of `scope`, wherever they are. What has not answered by the deadline is among the failures.
    pub async fn observe(&self, scope: &Scope, deadline: Deadline) -> RegionResults<Vec<Instance>> {
        self.survey(|fleet| in_time(deadline, fleet.observe(scope)))
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
        let ask = |fleet| in_time(deadline, look(fleet, schedule_set, trigger.clone(), clock));
        self.survey(ask).await
    }

    /// A pass everywhere.
    pub async fn pass(
        &self,
        schedule_set: &ScheduleSet,
        trigger: &PassTrigger<'_>,
        clock: &Clock,
        deadline: Deadline,
    ) -> RegionResults<Pass> {
        // Its calls keep to the deadline by themselves: cut off from outside, it would leave what it did unremembered.
        let ask = |fleet| {
            begun_in_time(
                deadline,
                pass(fleet, schedule_set, trigger.clone(), clock, deadline),
            )
        };
        self.survey(ask).await
    }

    /// Queries every account-region; those that the deadline leaves out count as failed.
    async fn survey<'a, T, F>(&'a self, ask: impl Fn(&'a Fleet) -> F) -> RegionResults<T>
    where
        F: Future<Output = Result<T, AccountRegionFailure>>,
    {
        let account_regions = self.account_regions.iter();
        let work: Vec<_> = account_regions.map(|one| ask(one.fleet())).collect();
        let outcomes = join_bounded(work, Self::MAX_IN_FLIGHT).await;
        let mut survey = RegionResults {
            answers: Vec::new(),
            failures: Vec::new(),
        };
        for (one, outcome) in self.account_regions.iter().zip(outcomes) {
            match outcome {
                Ok(answer) => survey.answers.push((one.clone(), answer)),
                Err(failure) => survey.failures.push(self.failed(one, failure)),
            }
        }
        survey
    }

    /// Says where something failed, unless there is only one place.
    pub fn failed(
        &self,
        one: &AccountRegionFleet,
        failure: impl Into<AccountRegionFailure>,
    ) -> AccountRegionError {
        AccountRegionError::new(one, failure.into(), self.spans_several())
    }
}

/// Begins nothing after the deadline, and goes by itself from then on.
async fn begun_in_time<T>(
    deadline: Deadline,
    asked: impl Future<Output = Result<T, CloudError>>,
) -> Result<T, AccountRegionFailure> {
    if deadline.has_passed() {
        return Err(AccountRegionFailure::OutOfTime);
    }
    Ok(asked.await?)
}

/// Looks until the deadline and no longer: one that is slow, or never answers, takes nothing from the others.
async fn in_time<T>(
    deadline: Deadline,
    asked: impl Future<Output = Result<T, CloudError>>,
) -> Result<T, AccountRegionFailure> {
    let asked = begun_in_time(deadline, asked);
    let Some(by) = deadline.begin() else {
        return asked.await;
    };
    let begun = Instant::now();
    match tokio::time::timeout_at(by, asked).await {
        Ok(outcome) => outcome,
        Err(_) => Err(AccountRegionFailure::NoAnswer {
            after: begun.elapsed(),
        }),
    }
}

impl AccountRegionFleet {
    /// Its instances. Makes no call: a role is assumed when its first instance is asked for.
    pub fn fleet(&self) -> &Fleet {
        self.fleet.get_or_init(|| {
            let inside = self.connection_cell.inside(self.account.as_deref());
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
