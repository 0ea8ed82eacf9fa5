//! The reason for a timetable's desired state at an instant, as one sentence for `explain` and the API.

use jiff::Timestamp;

use super::clock::wall_at;
use super::coverage::Coverage;
use super::cron::Cron;
use super::rules::ZonedRules;
use super::{Action, Desired, Edge, union, zone};
use crate::human_time;

/// Returns the reason for the desired state of `members` at `at`, taken from the first member that has this state.
pub(super) fn sentence(members: &[ZonedRules], at: Timestamp) -> String {
    let desired = union::desired(members, at);
    let deciding = members
        .iter()
        .find(|member| member.desired(at) == desired)
        .unwrap_or(&members[0]);
    let sentence = one(deciding, desired, at);
    if members.len() == 1 {
        sentence
    } else if desired == Desired::Running {
        format!("one of {} schedules wants it: {sentence}", members.len())
    } else {
        format!(
            "none of {} schedules wants it running: {sentence}",
            members.len()
        )
    }
}

fn one(rules: &ZonedRules, desired: Desired, at: Timestamp) -> String {
    let zone = zone::name(&rules.zone);
    let wall = wall_at(&rules.zone, at);
    let last = rules.last_edge(at);
    if desired == Desired::Unmanaged {
        return unmanaged(rules, last, at);
    }
    if desired == Desired::Running {
        if let Some(window) = rules
            .coverage
            .windows()
            .find(|window| window.contains(wall))
        {
            return format!("inside the window `{window}` in {zone}");
        }
        return match last {
            Some(edge) => format!(
                "last edge: start at {} ({})",
                local(rules, edge.at, at),
                source(rules, edge)
            ),
            None => format!("it always runs in {zone}"),
        };
    }
    let day = || human_time::date(wall.date, wall.date);
    if let Some(rule) = rules.exceptions.except.naming(wall.date) {
        return format!(
            "{} is excepted (`{rule}`): nothing starts on that day in {zone}",
            day()
        );
    }
    let only = &rules.exceptions.only;
    if !only.is_empty() && only.naming(wall.date).is_none() {
        return format!(
            "{} is not among the only dates (`{only}`): nothing starts on that day in {zone}",
            day()
        );
    }
    match last {
        Some(edge) if cron_at(&rules.stops, rules, edge).is_some() => {
            format!(
                "last edge: stop at {} ({})",
                local(rules, edge.at, at),
                source(rules, edge)
            )
        }
        Some(edge) => format!(
            "outside {} since {}",
            windows(&rules.coverage),
            local(rules, edge.at, at)
        ),
        None => format!("outside {} in {zone}", windows(&rules.coverage)),
    }
}

fn unmanaged(rules: &ZonedRules, last: Option<Edge>, now: Timestamp) -> String {
    let side = match (rules.starts.is_empty(), rules.stops.is_empty()) {
        (false, false) => return "no desired state before its first edge".to_owned(),
        (true, _) => "stop",
        (false, true) => "start",
    };
    let last = last.map_or_else(
        || "no edge so far".to_owned(),
        |edge| format!("the last edge was at {}", local(rules, edge.at, now)),
    );
    format!("it has only {side} edges and no desired state between them; {last}")
}

/// Returns the source of `edge` as text: the cron that fires then, or the boundary of an excepted day.
fn source(rules: &ZonedRules, edge: Edge) -> String {
    let crons = match edge.action {
        Action::Start => &rules.starts,
        Action::Stop => &rules.stops,
    };
    match (cron_at(crons, rules, edge), edge.action) {
        (Some(cron), _) => format!("`{cron}`"),
        (None, Action::Start) => "the end of the excepted days".to_owned(),
        (None, Action::Stop) => "the schedule".to_owned(),
    }
}

/// Returns the cron that fires at the wall time of `edge`. An edge that a gap moved has another wall time than its cron;
/// then the cron is known only if it is the schedule's single source of such edges.
fn cron_at<'r>(crons: &'r [Cron], rules: &ZonedRules, edge: Edge) -> Option<&'r Cron> {
    let wall = wall_at(&rules.zone, edge.at);
    crons.iter().find(|cron| cron.is_at(wall)).or(match crons {
        [cron] if rules.coverage.is_empty() && rules.exceptions.except.is_empty() => Some(cron),
        _ => None,
    })
}

fn windows(coverage: &Coverage) -> String {
    let mut windows = coverage.windows();
    match (windows.next(), windows.len()) {
        (Some(window), 0) => format!("`{window}`"),
        (Some(window), more) => format!(
            "`{window}` and {more} more window{}",
            if more == 1 { "" } else { "s" }
        ),
        (None, _) => "its excepted days".to_owned(),
    }
}

fn local(rules: &ZonedRules, instant: Timestamp, now: Timestamp) -> String {
    human_time::instant(instant, &rules.zone, now)
}
