//! Every governed account and region, each with its fleet: passes side by side, of which one may fail without the others.

mod error;
mod execute;
mod survey;

use curfew_core::govern::Governance;
use curfew_core::instance::{Instance, Region};
use curfew_core::membership::{Account, Member, Membership};
use std::sync::Arc;

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
}

/// One account and region, and its instances.
#[derive(Clone, Debug)]
pub struct MemberFleet {
    /// Which.
    pub member: Member,
    /// The account, where it is not our own.
    pub account: Option<Arc<Account>>,
    /// Its instances.
    pub fleet: Fleet,
}

impl Organisation {
    /// Members that are asked at the same time. A full page of instances is 2 to 3 MB until it is read, so that this many fit into
    /// a function of 256 MB; more is no faster, since reading the answers is what takes a small function's time by then.
    const SIDE_BY_SIDE: usize = 32;

    /// All members of `membership`, by way of `connection`, whose own region is home. Makes no call: a role is assumed when its
    /// first instance is asked for.
    pub fn open(connection: &Connection, membership: &Membership) -> Self {
        let home = Region::new(connection.region());
        let own = membership.members(&home).into_iter();
        let own = own.filter(|member| member.account.is_none());
        let mut members: Vec<MemberFleet> = own
            .map(|member| MemberFleet::reached(member, None, connection))
            .collect();
        for account in &membership.accounts {
            let inside = connection.into_account(account);
            let account = Arc::new(account.clone());
            members.extend(account.regions.iter().map(|region| {
                let member = Member {
                    account: Some(account.id.clone()),
                    region: region.clone(),
                };
                MemberFleet::reached(member, Some(Arc::clone(&account)), &inside)
            }));
        }
        Self {
            members: members.into(),
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
        self.members.len() > 1
    }

    /// The instances of `scope`, wherever they are.
    pub async fn observe(&self, scope: &Scope, deadline: Deadline) -> Survey<Vec<Instance>> {
        self.survey(deadline, async |fleet| fleet.observe(scope).await)
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
        self.survey(deadline, async |fleet| {
            look(fleet, governance, wake_up.clone(), clock).await
        })
        .await
    }

    /// A pass everywhere.
    pub async fn pass(
        &self,
        governance: &Governance,
        wake_up: &WakeUp<'_>,
        clock: &Clock,
        deadline: Deadline,
    ) -> Survey<Pass> {
        self.survey(deadline, async |fleet| {
            pass(fleet, governance, wake_up.clone(), clock, deadline).await
        })
        .await
    }

    /// Asks every member; whom time does not reach any more has failed.
    async fn survey<T>(
        &self,
        deadline: Deadline,
        ask: impl AsyncFn(&Fleet) -> Result<T, CloudError>,
    ) -> Survey<T> {
        let work = self.members.iter().map(async |one| {
            if deadline.has_passed() {
                return Err(MemberFailure::OutOfTime);
            }
            ask(&one.fleet).await.map_err(MemberFailure::from)
        });
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

impl MemberFleet {
    fn reached(member: Member, account: Option<Arc<Account>>, connection: &Connection) -> Self {
        let connection = connection.in_region(member.region.as_str());
        Self {
            fleet: Fleet::new(&connection),
            member,
            account,
        }
    }
}
