//! An observed change of an instance's state, and the question of who caused it.
//!
//! Nothing here watches: two observations go in, a transition comes out. The evidence for the cause is on the instance itself:
//! the tags that Curfew writes, and EC2's own reason.

use jiff::Timestamp;
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
}

impl Sighting {
    /// What is to be remembered of an instance that is in its state for `cause`.
    pub fn of(instance: &Instance, cause: Option<Cause>) -> Self {
        Self {
            state: instance.state,
            name: instance.name().map(str::to_owned),
            region: instance.region.clone(),
            account: instance.account.clone(),
            last: instance.tags.get(LAST_TAG).cloned(),
            launched_at: instance.launched_at,
            cause,
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
    Some(Transition {
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
    })
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
    let under_way = matches!(
        (before.state, direction),
        (InstanceState::Pending, Action::Start) | (InstanceState::Stopping, Action::Stop)
    );
    if let (true, Some(cause)) = (under_way, &before.cause) {
        return (cause.clone(), None);
    }
    let last: Option<Last> = after
        .tags
        .get(LAST_TAG)
        .and_then(|value| value.parse().ok());
    let earlier: Option<Last> = before.last.as_deref().and_then(|value| value.parse().ok());
    if let Some(last) = last.filter(|last| last.action == direction) {
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

pub(crate) fn direction(state: InstanceState) -> Option<Action> {
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
}
