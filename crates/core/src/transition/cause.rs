//! Determines when an observed change happened, and its cause, from the instance's tags and EC2's state reasons.

use jiff::{SignedDuration, Timestamp};

use super::{KnownState, direction, wants};
use crate::instance::{Instance, InstanceState};
use crate::schedule::Enforcement;
use crate::schedule_set::ScheduleSet;
use crate::state_tags::{
    Cause, LAST_TAG, LastApplied, OVERRIDE_TAG, Override, REQUEST_TAG, RecordedRequest,
};
use crate::timetable::Action;

/// How late an edge may have been applied if a newer one has overwritten `curfew:last`: three of the default heartbeats.
const APPLIED_WITHIN: SignedDuration = SignedDuration::from_mins(15);

/// The instant of the change as EC2 reports it. AWS dates starts and stops by users; emulators date neither.
pub(super) fn reported_instant(before: &KnownState, after: &Instance) -> Option<Timestamp> {
    match direction(after.state)? {
        Action::Start => after.launched_at.filter(|launched| {
            let earlier = before.launched_at;
            // An instance first observed as pending was launched: there was no earlier start.
            let is_new = before.state == InstanceState::Pending && before.cause.is_none();
            earlier.is_some_and(|earlier| *launched > earlier || (is_new && *launched == earlier))
        }),
        // A stop dated before the latest start is the reason of an earlier stop.
        Action::Stop => after.user_stopped_at().filter(|stopped| {
            before.state == InstanceState::Running
                && after
                    .launched_at
                    .is_none_or(|launched| *stopped >= launched)
        }),
    }
}

/// Returns the cause of the change, and the instant of the edge that it applied, if there is one.
pub(super) fn cause(
    before: &KnownState,
    after: &Instance,
    reported_instant: Option<Timestamp>,
    schedule_set: &ScheduleSet,
    now: Timestamp,
) -> (Cause, Option<Timestamp>) {
    let Some(direction) = direction(after.state) else {
        return (Cause::External, None);
    };
    let under_way = is_under_way(before.state, after.state);
    if let (true, Some(cause)) = (under_way, &before.cause) {
        return (cause.clone(), None);
    }
    let newest: Option<LastApplied> = after
        .tags
        .get(LAST_TAG)
        .and_then(|value| value.parse().ok())
        // A pass records `adopted` when it first observes the instance, before its call; the edge that the call applies replaces it afterwards.
        .filter(|last: &LastApplied| last.cause != Cause::Adopted);
    let earlier: Option<LastApplied> = before.last.as_deref().and_then(|value| value.parse().ok());
    if let Some(edge) = overwritten_edge(
        after,
        newest.as_ref(),
        direction,
        reported_instant,
        schedule_set,
    ) {
        return edge;
    }
    if let Some(last) = newest.filter(|last| last.action == direction) {
        // A pending start is retried for the same edge.
        let is_new = earlier.is_none_or(|earlier| {
            earlier.at != last.at || earlier.action != last.action || earlier.pending
        });
        // A cause applies only to changes after it.
        let was_earlier = reported_instant.is_some_and(|at| !last.may_explain(at));
        if is_new && !was_earlier {
            return (last.cause, Some(last.at));
        }
    }
    let override_: Option<Override> = after
        .tags
        .get(OVERRIDE_TAG)
        .and_then(|value| value.parse().ok());
    let at = reported_instant.unwrap_or(now);
    let request: Option<RecordedRequest> = after
        .tags
        .get(REQUEST_TAG)
        .and_then(|value| value.parse().ok());
    let request = request.filter(|request| request.at <= at);
    let explains = |override_: &Override| {
        let ended = request.as_ref().is_some_and(|one| one.at > override_.since);
        override_.since <= at
            && override_.is_active(at)
            && !ended
            && wants(override_.state.desired(), direction)
    };
    if let Some(override_) = override_.filter(explains) {
        return (Cause::Override(override_.actor), None);
    }
    let enforced = schedule_set.schedule_for(after).ok();
    let enforced = enforced.filter(|schedule| schedule.enforcement == Enforcement::Enforced);
    let Some(schedule) = enforced else {
        return (Cause::External, None);
    };
    // On an enforced schedule a request is in force until the next edge.
    let edge = schedule.timetable.last_edge(at).map(|edge| edge.at);
    match request.filter(|request| edge.is_none_or(|edge| request.at >= edge)) {
        Some(request) if request.action == direction => (Cause::Request(request.actor), None),
        None if wants(schedule.timetable.desired(at), direction) => {
            (Cause::Schedule(schedule.name.clone()), None)
        }
        _ => (Cause::External, None),
    }
}

/// Returns the edge of the managing schedule that explains a change older than the value of `curfew:last`: if events are read late,
/// newer edges have overwritten the tag.
fn overwritten_edge(
    after: &Instance,
    newest: Option<&LastApplied>,
    direction: Action,
    reported_instant: Option<Timestamp>,
    schedule_set: &ScheduleSet,
) -> Option<(Cause, Option<Timestamp>)> {
    let at = reported_instant.filter(|at| newest.is_some_and(|newest| newest.at > *at))?;
    let schedule = schedule_set.schedule_for(after).ok()?;
    let edge = schedule.timetable.last_edge(at)?;
    let explains = edge.action == direction && at.duration_since(edge.at) <= APPLIED_WITHIN;
    explains.then(|| (Cause::Schedule(schedule.name.clone()), Some(edge.at)))
}

/// Whether a change to `to` completes a transition in progress.
pub(super) fn is_under_way(before: InstanceState, to: InstanceState) -> bool {
    matches!(
        (before, direction(to)),
        (InstanceState::Pending, Some(Action::Start))
            | (InstanceState::Stopping, Some(Action::Stop))
    )
}
