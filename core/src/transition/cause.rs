//! When a change that was seen happened, and who caused it, by the evidence on the instance.

use jiff::{SignedDuration, Timestamp};

use super::{Sighting, direction, wants};
use crate::govern::Governance;
use crate::instance::{Instance, InstanceState};
use crate::memory::{Cause, HOLD_TAG, Hold, LAST_TAG, Last};
use crate::plan::EARLY_WAKE_UP;
use crate::schedule::Firmness;
use crate::timetable::Action;

/// How late an edge may have been applied whose memory a newer one has replaced: three of the usual heartbeats.
const APPLIED_WITHIN: SignedDuration = SignedDuration::from_mins(15);

/// EC2's own word on when it happened. Emulators keep neither; AWS keeps both.
pub(super) fn evidence(before: &Sighting, after: &Instance) -> Option<Timestamp> {
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

/// Why it changed, and the edge that this applied, if it was one.
pub(super) fn cause(
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
pub(super) fn is_under_way(before: InstanceState, to: InstanceState) -> bool {
    matches!(
        (before, direction(to)),
        (InstanceState::Pending, Some(Action::Start))
            | (InstanceState::Stopping, Some(Action::Stop))
    )
}
