//! When a change that was seen happened, and who caused it, by the evidence on the instance.

use jiff::{SignedDuration, Timestamp};

use super::{Sighting, direction, wants};
use crate::instance::{Instance, InstanceState};
use crate::memory::{Cause, LAST_TAG, Last, OVERRIDE_TAG, Override, REQUEST_TAG, Requested};
use crate::schedule::Enforcement;
use crate::schedule_set::ScheduleSet;
use crate::timetable::Action;

/// How late an edge may have been applied whose memory a newer one has replaced: three of the usual heartbeats.
const APPLIED_WITHIN: SignedDuration = SignedDuration::from_mins(15);

/// EC2's own word on when it happened. Emulators keep neither; AWS keeps both.
pub(super) fn evidence(before: &Sighting, after: &Instance) -> Option<Timestamp> {
    match direction(after.state)? {
        Action::Start => after.launched_at.filter(|launched| {
            let earlier = before.launched_at;
            // What was first seen on its way to running was launched: nothing had started it before.
            let is_new = before.state == InstanceState::Pending && before.cause.is_none();
            earlier.is_some_and(|earlier| *launched > earlier || (is_new && *launched == earlier))
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

/// Why it changed, and the edge that this applied, if it was one.
pub(super) fn cause(
    before: &Sighting,
    after: &Instance,
    evidence: Option<Timestamp>,
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
    let newest: Option<Last> = after
        .tags
        .get(LAST_TAG)
        .and_then(|value| value.parse().ok())
        // A pass records `adopted` at first sight, before its call; the edge that the call applies replaces it afterwards.
        .filter(|last: &Last| last.cause != Cause::Adopted);
    let earlier: Option<Last> = before.last.as_deref().and_then(|value| value.parse().ok());
    if let Some(edge) = replaced(after, newest.as_ref(), direction, evidence, schedule_set) {
        return edge;
    }
    if let Some(last) = newest.filter(|last| last.action == direction) {
        // A start that was still pending is tried again for the same edge.
        let is_new = earlier.is_none_or(|earlier| {
            earlier.at != last.at || earlier.action != last.action || earlier.pending
        });
        // A cause is claimed only for a change that came after it.
        let was_earlier = evidence.is_some_and(|at| !last.may_explain(at));
        if is_new && !was_earlier {
            return (last.cause, Some(last.at));
        }
    }
    let override_: Option<Override> = after
        .tags
        .get(OVERRIDE_TAG)
        .and_then(|value| value.parse().ok());
    let at = evidence.unwrap_or(now);
    let request: Option<Requested> = after
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
        return (Cause::Override(override_.by), None);
    }
    let enforced = schedule_set.schedule_for(after).ok();
    let enforced = enforced.filter(|schedule| schedule.enforcement == Enforcement::Enforced);
    let Some(schedule) = enforced else {
        return (Cause::External, None);
    };
    // On an enforced schedule a request is held to until the next edge.
    let edge = schedule.timetable.last_edge(at).map(|edge| edge.at);
    match request.filter(|request| edge.is_none_or(|edge| request.at >= edge)) {
        Some(request) if request.action == direction => (Cause::Request(request.by), None),
        None if wants(schedule.timetable.desired(at), direction) => {
            (Cause::Schedule(schedule.name.clone()), None)
        }
        _ => (Cause::External, None),
    }
}

/// The edge of the managing schedule that explains a change which is older than what stands in `curfew:last` by now: when events
/// are read late, newer edges have overwritten the memory of those that caused them.
fn replaced(
    after: &Instance,
    newest: Option<&Last>,
    direction: Action,
    evidence: Option<Timestamp>,
    schedule_set: &ScheduleSet,
) -> Option<(Cause, Option<Timestamp>)> {
    let at = evidence.filter(|at| newest.is_some_and(|newest| newest.at > *at))?;
    let schedule = schedule_set.schedule_for(after).ok()?;
    let edge = schedule.timetable.last_edge(at)?;
    let explains = edge.action == direction && at.duration_since(edge.at) <= APPLIED_WITHIN;
    explains.then(|| (Cause::Schedule(schedule.name.clone()), Some(edge.at)))
}

/// Whether a change to `to` is the end of one that had begun.
pub(super) fn is_under_way(before: InstanceState, to: InstanceState) -> bool {
    matches!(
        (before, direction(to)),
        (InstanceState::Pending, Some(Action::Start))
            | (InstanceState::Stopping, Some(Action::Stop))
    )
}
