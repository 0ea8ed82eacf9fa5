//! Every governed account and region, each with its fleet: passes side by side, of which one may fail without the others.

mod error;
mod execute;
mod survey;

use std::sync::{Arc, OnceLock};

use curfew_core::govern::Governance;
use curfew_core::instance::{Instance, Region};
use curfew_core::membership::{Account, Member, Membership};
use tokio::time::Instant;

use crate::clock::Clock;
use crate::connect::Connection;
use crate::error::CloudError;
use crate::execute::Deadline;
use crate::fleet::{Fleet, Scope};
use crate::pass::{Pass, WakeUp, look, pass};
use crate::side_by_side::side_by_side;

pub use error::{MemberError, MemberFailure};
pub use survey::{Survey, Whole};

/// Every governed account and region.
#[derive(Clone, Debug)]
pub struct Organisation {
    members: Arc<[MemberFleet]>,
    /// Whether there is more than one, these or others: then people need to be told where an instance is.
    several: bool,
}

/// One account and region, and the way to its instances.
#[derive(Clone, Debug)]
pub struct MemberFleet {
    /// Which.
    pub member: Member,
    /// The account, where it is not our own.
    pub account: Option<Arc<Account>>,
    gate: Arc<Gate>,
    fleet: Arc<OnceLock<Fleet>>,
}

/// The way into an account, which its regions share.
#[derive(Debug)]
struct Gate {
    home: Connection,
    inside: OnceLock<Connection>,
}

impl Organisation {
    /// Members that are asked at the same time. A full page of instances is 2 to 3 MB until it is read, so that this many fit into
    /// a function of 256 MB; more is no faster, since reading the answers is what takes a small function's time by then.
    pub const SIDE_BY_SIDE: usize = 32;

    /// All members of `membership`, by way of `connection`, whose own region is home. Makes no call, and no client either before
    /// somebody asks for one: a thousand of them take a small function a second.
    pub fn open(connection: &Connection, membership: &Membership) -> Self {
        let home = Region::new(connection.region());
        let gate = || {
            Arc::new(Gate {
                home: connection.clone(),
                inside: OnceLock::new(),
            })
        };
        let mut members = Vec::new();
        let mut add = |account: Option<Arc<Account>>, gate: &Arc<Gate>, region: &Region| {
            members.push(MemberFleet {
                member: Member {
                    account: account.as_ref().map(|account| account.id.clone()),
                    region: region.clone(),
                },
                account,
                gate: Arc::clone(gate),
                fleet: Arc::default(),
            });
        };
        let own = gate();
        for region in membership.regions(&home) {
            add(None, &own, region);
        }
        for account in &membership.accounts {
            let (account, gate) = (Arc::new(account.clone()), gate());
            for region in &account.regions {
                add(Some(Arc::clone(&account)), &gate, region);
            }
        }
        Self {
            several: members.len() > 1,
            members: members.into(),
        }
    }

    /// The same without some of its members.
    #[must_use]
    pub fn only(&self, keep: impl Fn(&Member) -> bool) -> Self {
        let members = self.members.iter().filter(|one| keep(&one.member));
        Self {
            members: members.cloned().collect(),
            several: self.several,
        }
    }

    /// The members, the own account's first.
    pub fn members(&self) -> &[MemberFleet] {
        &self.members
    }

    /// One member.
    pub fn member(&self, member: &Member) -> Option<&MemberFleet> {
        self.members.iter().find(|one| one.member == *member)
    }

    /// Whether there is more than one: then people need to be told where an instance is.
    pub fn spans_several(&self) -> bool {
        self.several
    }

    /// The instances of `scope`, wherever they are. What has not answered by the deadline is among the failures.
    pub async fn observe(&self, scope: &Scope, deadline: Deadline) -> Survey<Vec<Instance>> {
        self.survey(|fleet| in_time(deadline, fleet.observe(scope)))
            .await
    }

    /// Looks and decides everywhere, and does nothing.
    pub async fn look(
        &self,
        governance: &Governance,
        wake_up: &WakeUp<'_>,
        clock: &Clock,
        deadline: Deadline,
    ) -> Survey<Pass> {
        let ask = |fleet| in_time(deadline, look(fleet, governance, wake_up.clone(), clock));
        self.survey(ask).await
    }

    /// A pass everywhere.
    pub async fn pass(
        &self,
        governance: &Governance,
        wake_up: &WakeUp<'_>,
        clock: &Clock,
        deadline: Deadline,
    ) -> Survey<Pass> {
        // Its calls keep to the deadline by themselves: cut off from outside, it would leave what it did unremembered.
        let ask = |fleet| {
            begun_in_time(
                deadline,
                pass(fleet, governance, wake_up.clone(), clock, deadline),
            )
        };
        self.survey(ask).await
    }

    /// Asks every member; whom time does not reach any more has failed.
    async fn survey<'a, T, F>(&'a self, ask: impl Fn(&'a Fleet) -> F) -> Survey<T>
    where
        F: Future<Output = Result<T, MemberFailure>>,
    {
        let members = self.members.iter();
        let work: Vec<_> = members.map(|one| ask(one.fleet())).collect();
        let outcomes = side_by_side(work, Self::SIDE_BY_SIDE).await;
        let mut survey = Survey {
            answers: Vec::new(),
            failures: Vec::new(),
        };
        for (one, outcome) in self.members.iter().zip(outcomes) {
            match outcome {
                Ok(answer) => survey.answers.push((one.clone(), answer)),
                Err(failure) => survey.failures.push(self.failed(one, failure)),
            }
        }
        survey
    }

    /// Says where something failed, unless there is only one place.
    pub fn failed(&self, one: &MemberFleet, failure: impl Into<MemberFailure>) -> MemberError {
        MemberError::new(one, failure.into(), self.spans_several())
    }
}

/// Begins nothing after the deadline, and goes by itself from then on.
async fn begun_in_time<T>(
    deadline: Deadline,
    asked: impl Future<Output = Result<T, CloudError>>,
) -> Result<T, MemberFailure> {
    if deadline.has_passed() {
        return Err(MemberFailure::OutOfTime);
    }
    Ok(asked.await?)
}

/// Looks until the deadline and no longer: one that is slow, or never answers, takes nothing from the others.
async fn in_time<T>(
    deadline: Deadline,
    asked: impl Future<Output = Result<T, CloudError>>,
) -> Result<T, MemberFailure> {
    let asked = begun_in_time(deadline, asked);
    let Some(by) = deadline.begin() else {
        return asked.await;
    };
    let begun = Instant::now();
    match tokio::time::timeout_at(by, asked).await {
        Ok(outcome) => outcome,
        Err(_) => Err(MemberFailure::NoAnswer {
            after: begun.elapsed(),
        }),
    }
}

impl MemberFleet {
    /// Its instances. Makes no call: a role is assumed when its first instance is asked for.
    pub fn fleet(&self) -> &Fleet {
        self.fleet.get_or_init(|| {
            let inside = self.gate.inside(self.account.as_deref());
            Fleet::new(&inside.in_region(self.member.region.as_str()))
        })
    }
}

impl Gate {
    fn inside(&self, account: Option<&Account>) -> &Connection {
        self.inside.get_or_init(|| match account {
            Some(account) => self.home.into_account(account),
            None => self.home.clone(),
        })
    }
}
