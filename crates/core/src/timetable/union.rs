//! The union of several timetables, for `any_of`: running when any of them is.

use jiff::{Timestamp, ToSpan as _};

use super::clock::just_before;
use super::rules::ZonedRules;
use super::{Action, Desired, Edge};

/// A run that alternating members extend for this long counts as endless: it has no edge. Yearly dates (but for 02-29) occur
/// within the period. The search time for schedules that never stop is proportional to it.
const ENDLESS_HOURS: i64 = 800 * 24;

pub(super) fn desired(members: &[ZonedRules], at: Timestamp) -> Desired {
    let mut stopped = false;
    for member in members {
        match member.desired(at) {
            Desired::Running => return Desired::Running,
            Desired::Stopped => stopped = true,
            Desired::Unmanaged => {}
        }
    }
    if stopped {
        Desired::Stopped
    } else {
        Desired::Unmanaged
    }
}

pub(super) fn next_edge(members: &[ZonedRules], after: Timestamp) -> Option<Edge> {
    if !is_running(members, after) {
        return members
            .iter()
            .filter_map(|member| member.next_edge(after))
            .min_by_key(Edge::order);
    }
    let horizon = after.checked_add(ENDLESS_HOURS.hours()).ok()?;
    let mut at = after;
    while at <= horizon {
        at = running(members, at)
            .map(|member| run_end(member, at))
            .try_fold(at, |latest, end| Some(latest.max(end?)))?;
        if !is_running(members, at) {
            return Some(Edge {
                at,
                action: Action::Stop,
            });
        }
    }
    None
}

pub(super) fn last_edge(members: &[ZonedRules], at: Timestamp) -> Option<Edge> {
    if !is_running(members, at) {
        return members
            .iter()
            .filter_map(|member| member.last_edge(at))
            .max_by_key(|edge| (edge.at, edge.action == Action::Start));
    }
    let horizon = at.checked_sub(ENDLESS_HOURS.hours()).ok()?;
    let mut at = at;
    while at >= horizon {
        let start = running(members, at)
            .filter_map(|member| run_start(member, at))
            .min()?;
        at = just_before(start);
        if !is_running(members, at) {
            return Some(Edge {
                at: start,
                action: Action::Start,
            });
        }
    }
    None
}

fn is_running(members: &[ZonedRules], at: Timestamp) -> bool {
    running(members, at).next().is_some()
}

fn running(members: &[ZonedRules], at: Timestamp) -> impl Iterator<Item = &ZonedRules> {
    members
        .iter()
        .filter(move |member| member.desired(at) == Desired::Running)
}

/// Returns the end of the run that `member` is in at `at`.
fn run_end(member: &ZonedRules, at: Timestamp) -> Option<Timestamp> {
    std::iter::successors(member.next_edge(at), |edge| member.next_edge(edge.at))
        .find(|edge| edge.action == Action::Stop)
        .map(|edge| edge.at)
}

/// Returns the beginning of the run that `member` is in at `at`.
fn run_start(member: &ZonedRules, at: Timestamp) -> Option<Timestamp> {
    std::iter::successors(member.last_edge(at), |edge| {
        member.last_edge(just_before(edge.at))
    })
    .take_while(|edge| edge.action == Action::Start)
    .last()
    .map(|edge| edge.at)
}
