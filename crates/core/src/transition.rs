//! An observed change of an instance's state, and the question of who caused it.
//!
//! Nothing here watches: two observations go in, a transition comes out. The evidence for the cause is on the instance itself:
//! the tags that Curfew writes, and EC2's own reason.

mod cause;
mod evidence;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use self::cause::{cause, evidence, is_under_way};
use crate::instance::{AccountId, Instance, InstanceId, InstanceState, Region};
use crate::memory::{Cause, LAST_TAG};
use crate::schedule::ScheduleName;
use crate::schedule_set::ScheduleSet;
use crate::timetable::{Action, Desired};

pub use self::evidence::{Evidence, UnknownEvidence};

/// A change of state that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Transition {
    /// The instance.
    pub instance: InstanceId,
    /// Its name at that time.
    pub name: Option<String>,
    /// The state before.
    pub from: InstanceState,
    /// The state after.
    pub to: InstanceState,
    /// When, by EC2's own word where it has one, else when it was seen.
    pub at: Timestamp,
    /// Why.
    pub cause: Cause,
    /// The schedule that manages the instance.
    pub schedule: Option<ScheduleName>,
    /// Where.
    pub region: Region,
    /// Whose.
    pub account: AccountId,
    /// The edge that it applied, if a schedule's edge or a request caused it.
    pub edge: Option<Timestamp>,
    /// How it became known.
    pub evidence: Evidence,
    /// Who it was where Curfew was not: the principal of the call by CloudTrail's word, else EC2's own reason.
    pub by: Option<String>,
    /// The instance's type at that time.
    pub instance_type: Option<String>,
}

/// What was last known of an instance: enough to tell what has changed since, and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sighting {
    /// The state.
    pub state: InstanceState,
    /// The instance's name at that time.
    pub name: Option<String>,
    /// Where it lives.
    pub region: Region,
    /// Whose it is.
    pub account: AccountId,
    /// The value of `curfew:last` at that time.
    pub last: Option<String>,
    /// EC2's launch time at that time.
    pub launched_at: Option<Timestamp>,
    /// Why it came to this state, if that was seen: a change that is still under way has the same cause when it ends.
    pub cause: Option<Cause>,
    /// Since when it is known to be in this state: what EC2 tells of earlier times is part of it already.
    #[serde(default)]
    pub since: Option<Timestamp>,
    /// The schedule that managed it at that time.
    #[serde(default)]
    pub schedule: Option<ScheduleName>,
    /// Its type at that time.
    #[serde(default)]
    pub instance_type: Option<String>,
}

impl Sighting {
    /// What is to be remembered of an instance that is in its state for `cause`; since when, and managed by what, is for the
    /// watcher to add.
    pub fn of(instance: &Instance, cause: Option<Cause>) -> Self {
        Self {
            state: instance.state,
            name: instance.name().map(str::to_owned),
            region: instance.region.clone(),
            account: instance.account.clone(),
            last: instance.tags.get(LAST_TAG).cloned(),
            launched_at: instance.launched_at,
            cause,
            since: None,
            schedule: None,
            instance_type: Some(instance.instance_type.clone()),
        }
    }
}

/// The transition between an earlier sighting and what is seen at `now`; none if the state is the same.
pub fn transition(
    before: &Sighting,
    after: &Instance,
    schedule_set: &ScheduleSet,
    now: Timestamp,
) -> Option<Transition> {
    if before.state == after.state {
        return None;
    }
    let evidence = evidence(before, after);
    let schedule = schedule_set.schedule_for(after).ok();
    let (cause, edge) = cause(before, after, evidence, schedule_set, now);
    let found = Transition {
        instance: after.id.clone(),
        name: after.name().map(str::to_owned),
        from: before.state,
        to: after.state,
        at: evidence.unwrap_or(now),
        cause,
        schedule: schedule.map(|schedule| schedule.name.clone()),
        region: after.region.clone(),
        account: after.account.clone(),
        edge,
        evidence: Evidence::Look,
        by: external_reason(after),
        instance_type: Some(after.instance_type.clone()),
    };
    Some(found.without_blame())
}

/// The transition to state `to` that EC2 told of in an event, dated `at`. `after` is the instance as it was looked up since then, by
/// when it may be in another state already.
pub fn told(
    id: &InstanceId,
    before: &Sighting,
    to: InstanceState,
    at: Timestamp,
    after: Option<&Instance>,
    schedule_set: &ScheduleSet,
) -> Transition {
    let told = Transition {
        instance: id.clone(),
        name: before.name.clone(),
        from: before.state,
        to,
        at,
        cause: Cause::External,
        schedule: before.schedule.clone(),
        region: before.region.clone(),
        account: before.account.clone(),
        edge: None,
        evidence: Evidence::Event,
        by: None,
        instance_type: before.instance_type.clone(),
    };
    match (after, before.cause.clone()) {
        (Some(after), _) => explained(told, before, after, schedule_set),
        (None, Some(cause)) if is_under_way(before.state, to) => Transition { cause, ..told },
        (None, _) => told,
    }
}

/// The same transition, explained by what the instance's tags say by now.
pub fn explained(
    transition: Transition,
    before: &Sighting,
    after: &Instance,
    schedule_set: &ScheduleSet,
) -> Transition {
    let at = transition.at;
    let then = Instance {
        state: transition.to,
        ..after.clone()
    };
    let (cause, edge) = cause(before, &then, Some(at), schedule_set, at);
    let schedule = schedule_set.schedule_for(after).ok();
    Transition {
        name: after.name().map(str::to_owned),
        cause,
        edge,
        schedule: schedule.map(|schedule| schedule.name.clone()),
        by: transition.by.or_else(|| external_reason(&then)),
        instance_type: Some(after.instance_type.clone()),
        ..transition
    }
    .without_blame()
}

/// A transition that nobody saw: `from` one state `to` another, not later than `at`.
pub fn inferred(
    id: &InstanceId,
    before: &Sighting,
    to: InstanceState,
    at: Timestamp,
    after: &Instance,
    schedule_set: &ScheduleSet,
) -> Transition {
    let told = told(id, before, to, at, Some(after), schedule_set);
    Transition {
        evidence: Evidence::Inference,
        // What EC2 says now is about what came later.
        by: None,
        ..told
    }
}

impl Transition {
    /// Whoever is told of beside Curfew's own cause is Curfew.
    #[must_use]
    pub fn without_blame(self) -> Self {
        let by = self.by.filter(|_| self.cause == Cause::External);
        Self { by, ..self }
    }
}

/// EC2's reason for a stop or an end that it was not asked for, if it gives one.
fn external_reason(after: &Instance) -> Option<String> {
    let stops = direction(after.state) != Some(Action::Start);
    let reason = after.state_reason.as_ref().filter(|_| stops)?;
    Some(reason.code.clone())
}

/// The transition of an instance that EC2 no longer lists, seen to be missing at `now`.
pub fn disappearance(id: &InstanceId, before: &Sighting, now: Timestamp) -> Transition {
    Transition {
        instance: id.clone(),
        name: before.name.clone(),
        from: before.state,
        to: InstanceState::Terminated,
        at: now,
        cause: Cause::External,
        schedule: None,
        region: before.region.clone(),
        account: before.account.clone(),
        edge: None,
        evidence: Evidence::Look,
        by: None,
        instance_type: before.instance_type.clone(),
    }
}

/// What a state is on the way to, or at: running or stopped. Terminated is neither.
pub fn direction(state: InstanceState) -> Option<Action> {
    match state {
        InstanceState::Pending | InstanceState::Running => Some(Action::Start),
        InstanceState::Stopping | InstanceState::Stopped => Some(Action::Stop),
        InstanceState::ShuttingDown | InstanceState::Terminated | InstanceState::Other => None,
    }
}

pub(crate) fn wants(desired: Desired, action: Action) -> bool {
    matches!(
        (desired, action),
        (Desired::Running, Action::Start) | (Desired::Stopped, Action::Stop)
    )
}

#[cfg(test)]
mod tests;
