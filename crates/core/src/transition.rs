//! Transitions: changes of an instance's state, with their causes.
//!
//! A transition is computed from two observations. The cause follows from the instance itself: the tags that Curfew writes, and EC2's
//! state reason.

mod cause;
mod source;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use self::cause::{cause, is_under_way, reported_instant};
use crate::instance::{AccountId, Instance, InstanceId, InstanceState, Region, ResourceKind};
use crate::schedule::ScheduleName;
use crate::schedule_set::ScheduleSet;
use crate::state_tags::{Cause, LAST_TAG};
use crate::timetable::{Action, Desired};

pub use self::source::{TransitionSource, UnknownTransitionSource};

/// An observed change of an instance's state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Transition {
    /// The instance's id.
    #[serde(rename = "id")]
    pub instance: InstanceId,
    /// The kind of the resource.
    pub kind: ResourceKind,
    /// Its name at that time.
    pub name: Option<String>,
    /// The state before.
    pub from: InstanceState,
    /// The state after.
    pub to: InstanceState,
    /// The instant that EC2 reports for the change, else that of the observation.
    pub at: Timestamp,
    /// What caused the change.
    pub cause: Cause,
    /// The schedule that manages the instance.
    pub schedule: Option<ScheduleName>,
    /// The region of the instance.
    pub region: Region,
    /// The account that owns the instance.
    pub account: AccountId,
    /// The instant of the edge or request that the change applied, if there is one.
    #[serde(rename = "edge_at")]
    pub edge: Option<Timestamp>,
    /// How the change became known.
    pub source: TransitionSource,
    /// For external changes, the principal of the call as CloudTrail reports it, else EC2's state reason.
    pub actor: Option<String>,
    /// The instance's type at that time.
    pub instance_type: Option<String>,
}

/// The last known state of an instance, as needed to detect later changes and their causes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KnownState {
    /// The observed state.
    pub state: InstanceState,
    /// The instance's name at that time.
    pub name: Option<String>,
    /// The region of the instance.
    pub region: Region,
    /// The account that owns the instance.
    pub account: AccountId,
    /// The value of `curfew:last` at that time.
    pub last: Option<String>,
    /// EC2's launch time at that time.
    pub launched_at: Option<Timestamp>,
    /// The cause of the change to this state, if it was observed. A change in progress has the same cause when it completes.
    pub cause: Option<Cause>,
    /// Since when the instance is known to have this state. Events of earlier instants are included already.
    #[serde(default)]
    pub since: Option<Timestamp>,
    /// The schedule that managed it at that time.
    #[serde(default)]
    pub schedule: Option<ScheduleName>,
    /// Its type at that time.
    #[serde(default)]
    pub instance_type: Option<String>,
}

impl KnownState {
    /// Creates the last known state from an observation and its `cause`. The caller sets `since` and `schedule`.
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

/// Returns the transition between an earlier state and the instance observed at `now`; none if the state is the same.
pub fn transition(
    before: &KnownState,
    after: &Instance,
    schedule_set: &ScheduleSet,
    now: Timestamp,
) -> Option<Transition> {
    if before.state == after.state {
        return None;
    }
    let reported_instant = reported_instant(before, after);
    let schedule = schedule_set.schedule_for(after).ok();
    let (cause, edge) = cause(before, after, reported_instant, schedule_set, now);
    let found = Transition {
        instance: after.id.clone(),
        kind: ResourceKind::Instance,
        name: after.name().map(str::to_owned),
        from: before.state,
        to: after.state,
        at: reported_instant.unwrap_or(now),
        cause,
        schedule: schedule.map(|schedule| schedule.name.clone()),
        region: after.region.clone(),
        account: after.account.clone(),
        edge,
        source: TransitionSource::Poll,
        actor: external_reason(after),
        instance_type: Some(after.instance_type.clone()),
    };
    Some(found.without_own_principal())
}

/// Returns the transition to state `to` that an EC2 event of the instant `at` reports. `after` is a later observation of the instance,
/// which may have another state already.
pub fn transition_from_event(
    id: &InstanceId,
    before: &KnownState,
    to: InstanceState,
    at: Timestamp,
    after: Option<&Instance>,
    schedule_set: &ScheduleSet,
) -> Transition {
    let reported = Transition {
        instance: id.clone(),
        kind: ResourceKind::Instance,
        name: before.name.clone(),
        from: before.state,
        to,
        at,
        cause: Cause::External,
        schedule: before.schedule.clone(),
        region: before.region.clone(),
        account: before.account.clone(),
        edge: None,
        source: TransitionSource::Event,
        actor: None,
        instance_type: before.instance_type.clone(),
    };
    match (after, before.cause.clone()) {
        (Some(after), _) => with_current_cause(reported, before, after, schedule_set),
        (None, Some(cause)) if is_under_way(before.state, to) => Transition { cause, ..reported },
        (None, _) => reported,
    }
}

/// Returns the transition with the cause that the instance's current tags show.
pub fn with_current_cause(
    transition: Transition,
    before: &KnownState,
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
        actor: transition.actor.or_else(|| external_reason(&then)),
        instance_type: Some(after.instance_type.clone()),
        ..transition
    }
    .without_own_principal()
}

/// Returns a transition that was not observed, to state `to` and not later than `at`.
pub fn inferred(
    id: &InstanceId,
    before: &KnownState,
    to: InstanceState,
    at: Timestamp,
    after: &Instance,
    schedule_set: &ScheduleSet,
) -> Transition {
    let reported = transition_from_event(id, before, to, at, Some(after), schedule_set);
    Transition {
        source: TransitionSource::Inferred,
        // EC2's current reason is that of a later change.
        actor: None,
        ..reported
    }
}

impl Transition {
    /// Removes the actor unless the cause is external: otherwise the principal is Curfew.
    #[must_use]
    pub fn without_own_principal(self) -> Self {
        let actor = self.actor.filter(|_| self.cause == Cause::External);
        Self { actor, ..self }
    }
}

/// EC2's reason for a stop or a termination, if it reports one.
fn external_reason(after: &Instance) -> Option<String> {
    let stops = direction(after.state) != Some(Action::Start);
    let reason = after.state_reason.as_ref().filter(|_| stops)?;
    Some(reason.code.clone())
}

/// Returns the transition of an instance that EC2 no longer lists, as observed at `now`.
pub fn disappearance(id: &InstanceId, before: &KnownState, now: Timestamp) -> Transition {
    Transition {
        instance: id.clone(),
        kind: ResourceKind::Instance,
        name: before.name.clone(),
        from: before.state,
        to: InstanceState::Terminated,
        at: now,
        cause: Cause::External,
        schedule: None,
        region: before.region.clone(),
        account: before.account.clone(),
        edge: None,
        source: TransitionSource::Poll,
        actor: None,
        instance_type: before.instance_type.clone(),
    }
}

/// The action whose target state this state is, or leads to. None for terminated and unknown states.
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
