//! Several sets of rules together: running when any of them wants it.

use jiff::{Timestamp, ToSpan as _};

use super::clock::just_before;
use super::rules::Rules;
use super::{Action, Desired, Edge};

/// A run that members keep up by turns for this long counts as endless: it has no edge. Every yearly date has come up by
/// then; searching longer costs time in proportion, for schedules that never stop anyway.
const ENDLESS_HOURS: i64 = 800 * 24;

pub(super) fn desired(members: &[Rules], at: Timestamp) -> Desired {
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

pub(super) fn next_edge(members: &[Rules], after: Timestamp) -> Option<Edge> {
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

pub(super) fn last_edge(members: &[Rules], at: Timestamp) -> Option<Edge> {
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

fn is_running(members: &[Rules], at: Timestamp) -> bool {
    running(members, at).next().is_some()
}

fn running(members: &[Rules], at: Timestamp) -> impl Iterator<Item = &Rules> {
    members
        .iter()
        .filter(move |member| member.desired(at) == Desired::Running)
}

/// When the run that `member` is in at `at` ends.
fn run_end(member: &Rules, at: Timestamp) -> Option<Timestamp> {
    std::iter::successors(member.next_edge(at), |edge| member.next_edge(edge.at))
        .find(|edge| edge.action == Action::Stop)
        .map(|edge| edge.at)
}

/// When the run that `member` is in at `at` began.
fn run_start(member: &Rules, at: Timestamp) -> Option<Timestamp> {
    std::iter::successors(member.last_edge(at), |edge| {
        member.last_edge(just_before(edge.at))
    })
    .take_while(|edge| edge.action == Action::Start)
    .last()
    .map(|edge| edge.at)
}
