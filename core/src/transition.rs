//! An observed change of an instance's state, and the question of who caused it.
//!
//! Nothing here watches: two observations go in, a transition comes out. The evidence for the cause is on the instance itself:
//! the tags that Curfew writes, and EC2's own reason.

use std::fmt;
use std::str::FromStr;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::govern::Governance;
use crate::instance::{AccountId, Instance, InstanceId, InstanceState, Region};
use crate::memory::{Cause, HOLD_TAG, Hold, LAST_TAG, Last};
use crate::plan::EARLY_WAKE_UP;
use crate::schedule::{Firmness, ScheduleName};
use crate::timetable::{Action, Desired};

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
    /// The schedule that governs the instance.
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

/// How a transition became known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Evidence {
    /// EC2 told of it in an event: when it happened is known to the second.
    Event,
    /// Two looks found different states; it happened in between.
    Look,
    /// Nobody saw it, and it must have happened: what was there before and after does not fit together otherwise.
    Inference,
}

impl Evidence {
    /// The word for it in journals and documents.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Look => "look",
            Self::Inference => "inference",
        }
    }
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Evidence {
    type Err = UnknownEvidence;

    fn from_str(text: &str) -> Result<Self, UnknownEvidence> {
        [Self::Event, Self::Look, Self::Inference]
            .into_iter()
            .find(|evidence| evidence.as_str() == text)
            .ok_or_else(|| UnknownEvidence(text.to_owned()))
    }
}

/// Evidence of a sort that only a newer Curfew knows.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a sort of evidence")]
pub struct UnknownEvidence(String);

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
    /// The schedule that governed it at that time.
    #[serde(default)]
    pub schedule: Option<ScheduleName>,
    /// Its type at that time.
    #[serde(default)]
    pub instance_type: Option<String>,
}

impl Sighting {
    /// What is to be remembered of an instance that is in its state for `cause`; since when, and governed by what, is for the
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
    governance: &Governance,
    now: Timestamp,
) -> Option<Transition> {
    if before.state == after.state {
        return None;
    }
    let evidence = evidence(before, after);
    let schedule = governance.schedule_for(after).ok();
    let (cause, edge) = cause(before, after, evidence, governance, now);
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
        by: outside_reason(after),
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
    governance: &Governance,
) -> Transition {
    let told = Transition {
        instance: id.clone(),
        name: before.name.clone(),
        from: before.state,
        to,
        at,
        cause: Cause::Outside,
        schedule: before.schedule.clone(),
        region: before.region.clone(),
        account: before.account.clone(),
        edge: None,
        evidence: Evidence::Event,
        by: None,
        instance_type: before.instance_type.clone(),
    };
    match (after, before.cause.clone()) {
        (Some(after), _) => explained(told, before, after, governance),
        (None, Some(cause)) if is_under_way(before.state, to) => Transition { cause, ..told },
        (None, _) => told,
    }
}

/// The same transition, explained by what the instance's tags say by now.
pub fn explained(
    transition: Transition,
    before: &Sighting,
    after: &Instance,
    governance: &Governance,
) -> Transition {
    let at = transition.at;
    let then = Instance {
        state: transition.to,
        ..after.clone()
    };
    let (cause, edge) = cause(before, &then, Some(at), governance, at);
    let schedule = governance.schedule_for(after).ok();
    Transition {
        name: after.name().map(str::to_owned),
        cause,
        edge,
        schedule: schedule.map(|schedule| schedule.name.clone()),
        by: transition.by.or_else(|| outside_reason(&then)),
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
    governance: &Governance,
) -> Transition {
    let told = told(id, before, to, at, Some(after), governance);
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
        let by = self.by.filter(|_| self.cause == Cause::Outside);
        Self { by, ..self }
    }
}

/// EC2's reason for a stop or an end that it was not asked for, if it gives one.
fn outside_reason(after: &Instance) -> Option<String> {
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
        cause: Cause::Outside,
        schedule: None,
        region: before.region.clone(),
        account: before.account.clone(),
        edge: None,
        evidence: Evidence::Look,
        by: None,
        instance_type: before.instance_type.clone(),
    }
}

/// EC2's own word on when it happened. Emulators keep neither; AWS keeps both.
fn evidence(before: &Sighting, after: &Instance) -> Option<Timestamp> {
    match direction(after.state)? {
        Action::Start => after.launched_at.filter(|launched| {
            before
                .launched_at
                .is_some_and(|earlier| *launched > earlier)
        }),
        // A stop that EC2 dates before the latest start is an older one's reason, still on show.
        Action::Stop => after.user_stopped_at().filter(|stopped| {
            before.state == InstanceState::Running
                && after
                    .launched_at
                    .is_none_or(|launched| *stopped >= launched)
        }),
    }
}

fn cause(
    before: &Sighting,
    after: &Instance,
    evidence: Option<Timestamp>,
    governance: &Governance,
    now: Timestamp,
) -> (Cause, Option<Timestamp>) {
    let Some(direction) = direction(after.state) else {
        return (Cause::Outside, None);
    };
    let under_way = is_under_way(before.state, after.state);
    if let (true, Some(cause)) = (under_way, &before.cause) {
        return (cause.clone(), None);
    }
    let newest: Option<Last> = after
        .tags
        .get(LAST_TAG)
        .and_then(|value| value.parse().ok());
    let earlier: Option<Last> = before.last.as_deref().and_then(|value| value.parse().ok());
    if let Some(edge) = replaced(after, newest.as_ref(), direction, evidence, governance) {
        return edge;
    }
    if let Some(last) = newest.filter(|last| last.action == direction) {
        // A start that was still pending is tried again for the same edge.
        let is_new = earlier.is_none_or(|earlier| {
            earlier.at != last.at || earlier.action != last.action || earlier.pending
        });
        let was_earlier = evidence.is_some_and(|at| last.at.duration_since(at) > EARLY_WAKE_UP);
        if is_new && !was_earlier {
            return (last.cause, Some(last.at));
        }
    }
    let hold: Option<Hold> = after
        .tags
        .get(HOLD_TAG)
        .and_then(|value| value.parse().ok());
    if let Some(hold) =
        hold.filter(|hold| hold.is_active(now) && wants(hold.state.desired(), direction))
    {
        return (Cause::Hold(hold.by), None);
    }
    match governance.schedule_for(after) {
        Ok(schedule)
            if schedule.firmness == Firmness::Enforced
                && wants(schedule.timetable.desired(now), direction) =>
        {
            (Cause::Schedule(schedule.name.clone()), None)
        }
        _ => (Cause::Outside, None),
    }
}

/// How late an edge may have been applied whose memory a newer one has replaced: three of the usual heartbeats.
const APPLIED_WITHIN: SignedDuration = SignedDuration::from_mins(15);

/// The edge of the governing schedule that explains a change which is older than what stands in `curfew:last` by now: when events
/// are read late, newer edges have overwritten the memory of those that caused them.
fn replaced(
    after: &Instance,
    newest: Option<&Last>,
    direction: Action,
    evidence: Option<Timestamp>,
    governance: &Governance,
) -> Option<(Cause, Option<Timestamp>)> {
    let at = evidence.filter(|at| newest.is_some_and(|newest| newest.at > *at))?;
    let schedule = governance.schedule_for(after).ok()?;
    let edge = schedule.timetable.last_edge(at)?;
    let explains = edge.action == direction && at.duration_since(edge.at) <= APPLIED_WITHIN;
    explains.then(|| (Cause::Schedule(schedule.name.clone()), Some(edge.at)))
}

/// Whether a change to `to` is the end of one that had begun.
fn is_under_way(before: InstanceState, to: InstanceState) -> bool {
    matches!(
        (before, direction(to)),
        (InstanceState::Pending, Some(Action::Start))
            | (InstanceState::Stopping, Some(Action::Stop))
    )
}

/// What a state is on the way to, or at: running or stopped. Terminated is neither.
pub fn direction(state: InstanceState) -> Option<Action> {
    match state {
        InstanceState::Pending | InstanceState::Running => Some(Action::Start),
        InstanceState::Stopping | InstanceState::Stopped => Some(Action::Stop),
        InstanceState::ShuttingDown | InstanceState::Terminated => None,
    }
}

pub(crate) fn wants(desired: Desired, action: Action) -> bool {
    matches!(
        (desired, action),
        (Desired::Running, Action::Start) | (Desired::Stopped, Action::Stop)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example;
    use std::collections::BTreeMap;

    const NOW: &str = "2026-11-23T19:00:10Z";

    fn nobody() -> Governance {
        Governance {
            tag: "Schedule".into(),
            schedules: BTreeMap::new(),
        }
    }

    fn running_with(last: &str) -> Sighting {
        let mut instance = example::instance("web");
        instance.tags.insert(LAST_TAG.into(), last.into());
        Sighting::of(&instance, None)
    }

    fn stopped_with(last: &str) -> Instance {
        let mut instance = example::instance("web");
        instance.state = InstanceState::Stopped;
        instance.tags.insert(LAST_TAG.into(), last.into());
        instance
    }

    fn seen(before: &Sighting, after: &Instance) -> Transition {
        transition(before, after, &nobody(), NOW.parse().unwrap()).unwrap()
    }

    #[test]
    fn no_change_is_no_transition() {
        let instance = example::instance("web");
        assert_eq!(
            transition(
                &Sighting::of(&instance, None),
                &instance,
                &nobody(),
                NOW.parse().unwrap()
            ),
            None
        );
    }

    #[test]
    fn a_new_memory_tag_names_the_cause_and_the_edge() {
        let before = running_with("2026-11-23T07:00:00Z start schedule office");
        let found = seen(
            &before,
            &stopped_with("2026-11-23T19:00:00Z stop schedule office"),
        );
        assert_eq!(found.cause.to_string(), "schedule office");
        assert_eq!(found.edge, Some("2026-11-23T19:00:00Z".parse().unwrap()));
        assert_eq!(
            found.at,
            NOW.parse().unwrap(),
            "an emulator dates nothing: it is when it was seen"
        );
    }

    #[test]
    fn an_old_memory_tag_explains_nothing() {
        let last = "2026-11-22T19:00:00Z stop schedule office";
        assert_eq!(
            seen(&running_with(last), &stopped_with(last)).cause,
            Cause::Outside
        );
    }

    #[test]
    fn a_start_that_is_tried_again_for_its_edge_is_still_the_edges() {
        let last = "2026-11-23T18:30:00Z start schedule office pending";
        let before = Sighting::of(&stopped_with(last), None);
        let mut after = stopped_with(last);
        after.state = InstanceState::Pending;
        let found = seen(&before, &after);
        assert_eq!(found.cause.to_string(), "schedule office");
        assert_eq!(found.edge, Some("2026-11-23T18:30:00Z".parse().unwrap()));

        let settled = "2026-11-23T18:30:00Z start schedule office";
        after.tags.insert(LAST_TAG.into(), settled.into());
        let before = Sighting::of(&stopped_with(settled), None);
        assert_eq!(
            seen(&before, &after).cause,
            Cause::Outside,
            "once it was seen running, another start is somebody else's"
        );
    }

    #[test]
    fn an_enforced_schedule_explains_what_it_wants_without_a_new_memory() {
        let last = "2026-11-22T19:00:00Z stop schedule strict";
        let timetable = crate::timetable::Timetable::parse_inline("08:00-20:00 Europe/Paris");
        let mut strict =
            crate::schedule::Schedule::new("strict".parse().unwrap(), timetable.unwrap());
        strict.firmness = Firmness::Enforced;
        let governance = Governance {
            schedules: BTreeMap::from([(strict.name.clone(), strict)]),
            ..nobody()
        };
        let mut before = running_with(last);
        let mut after = stopped_with(last);
        after.tags.insert("Schedule".into(), "strict".into());
        let seen_at = |before: &Sighting, after: &Instance, now: &str| {
            let found = transition(before, after, &governance, now.parse().unwrap());
            found.unwrap().cause.to_string()
        };
        assert_eq!(
            seen_at(&before, &after, "2026-11-23T19:00:10Z"),
            "schedule strict"
        );
        assert_eq!(
            seen_at(&before, &after, "2026-11-23T12:00:00Z"),
            "outside",
            "it wants it running then"
        );
        before.state = InstanceState::Stopped;
        after.state = InstanceState::Pending;
        assert_eq!(
            seen_at(&before, &after, "2026-11-23T12:00:00Z"),
            "schedule strict"
        );
    }

    #[test]
    fn a_start_that_falls_back_is_not_a_stop_by_its_edge() {
        let last = "2026-11-23T19:00:00Z start schedule office pending";
        let mut pending = stopped_with(last);
        pending.state = InstanceState::Pending;
        let before = Sighting::of(&pending, Some("schedule office".parse().unwrap()));
        assert_eq!(seen(&before, &stopped_with(last)).cause, Cause::Outside);
    }

    #[test]
    fn a_stop_that_ec2_dates_before_the_edge_was_not_the_edges() {
        let before = running_with("2026-11-23T07:00:00Z start schedule office");
        let mut after = stopped_with("2026-11-23T19:00:00Z stop schedule office");
        after.transition_reason = Some("User initiated (2026-11-23 18:40:00 GMT)".into());
        let found = seen(&before, &after);
        assert_eq!(found.cause, Cause::Outside);
        assert_eq!(found.at, "2026-11-23T18:40:00Z".parse().unwrap());
    }

    #[test]
    fn the_end_of_a_change_has_the_cause_of_its_beginning() {
        let last = "2026-11-23T19:00:00Z stop schedule office";
        let mut stopping = stopped_with(last);
        stopping.state = InstanceState::Stopping;
        let before = Sighting::of(&stopping, Some("request by alice".parse().unwrap()));
        assert_eq!(
            seen(&before, &stopped_with(last)).cause.to_string(),
            "request by alice"
        );
    }

    #[test]
    fn a_hold_in_force_explains_what_it_wants() {
        let last = "2026-11-23T07:00:00Z start schedule office";
        let mut after = stopped_with(last);
        after.tags.insert(
            HOLD_TAG.into(),
            "stopped until 2026-11-23T22:00:00Z by bob".into(),
        );
        assert_eq!(
            seen(&running_with(last), &after).cause.to_string(),
            "hold by bob"
        );
        after.tags.insert(
            HOLD_TAG.into(),
            "stopped until 2026-11-23T18:00:00Z by bob".into(),
        );
        assert_eq!(
            seen(&running_with(last), &after).cause,
            Cause::Outside,
            "that hold is over"
        );
    }

    #[test]
    fn what_an_event_tells_is_dated_by_it_and_explained_by_the_tag() {
        let before = running_with("2026-11-23T07:00:00Z start schedule office");
        let after = stopped_with("2026-11-23T19:00:00Z stop schedule office");
        let at = "2026-11-23T19:00:01Z".parse().unwrap();
        let to = InstanceState::Stopping;
        let seen = told(&after.id, &before, to, at, Some(&after), &nobody());
        assert_eq!((seen.to, seen.at), (to, at));
        assert_eq!(seen.cause.to_string(), "schedule office");
        assert_eq!(seen.evidence, Evidence::Event);
        let unseen = told(&after.id, &before, to, at, None, &nobody());
        assert_eq!(
            unseen.cause,
            Cause::Outside,
            "without a look nobody knows yet"
        );
        assert_eq!(
            explained(unseen, &before, &after, &nobody())
                .cause
                .to_string(),
            "schedule office"
        );
    }

    #[test]
    fn a_memory_that_was_replaced_since_is_made_up_for_by_the_edge_itself() {
        let timetable = crate::timetable::Timetable::parse_inline("08:00-20:00 Europe/Paris");
        let office = crate::schedule::Schedule::new("office".parse().unwrap(), timetable.unwrap());
        let governance = Governance {
            schedules: BTreeMap::from([(office.name.clone(), office)]),
            ..nobody()
        };
        let before = running_with("2026-11-20T07:00:00Z start schedule office");
        let mut after = stopped_with("2026-11-23T07:00:00Z start schedule office");
        after.tags.insert("Schedule".into(), "office".into());
        let cause_at = |at: &str| {
            let to = InstanceState::Stopping;
            let at = at.parse().unwrap();
            told(&after.id, &before, to, at, Some(&after), &governance).cause
        };
        assert_eq!(
            cause_at("2026-11-20T19:00:02Z").to_string(),
            "schedule office"
        );
        assert_eq!(cause_at("2026-11-20T19:16:00Z"), Cause::Outside);
        assert_eq!(
            cause_at("2026-11-20T07:01:00Z"),
            Cause::Outside,
            "that edge is a start"
        );
    }

    #[test]
    fn ec2s_reason_stands_beside_what_others_did_and_never_beside_our_own() {
        let last = "2026-11-22T19:00:00Z stop schedule office";
        let mut after = stopped_with(last);
        after.state_reason = Some(crate::instance::StateReason {
            code: "Server.SpotInstanceShutdown".into(),
            message: "Spot capacity is gone".into(),
        });
        let by = |after: &Instance| seen(&running_with(last), after).by;
        assert_eq!(by(&after).as_deref(), Some("Server.SpotInstanceShutdown"));
        let ours = "2026-11-23T19:00:00Z stop schedule office";
        after.tags.insert(LAST_TAG.into(), ours.into());
        assert_eq!(by(&after), None);
    }
}
