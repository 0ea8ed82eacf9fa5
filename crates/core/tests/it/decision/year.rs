//! A year of office hours in Paris on one instance: the calls are exactly the edges of the timetable.

use std::collections::BTreeSet;

use curfew_core::instance::InstanceState::*;
use curfew_core::timetable::{Action, Edge};
use jiff::{SignedDuration, Timestamp};

use crate::support::{Cloud, SETTLING, StateDetails, paris, schedule_set};

const OFFICE: &str = r#"
    [schedules.office]
    timezone = "Europe/Paris"
    running = "Mon-Fri 08:00-20:00"
    except = ["12-25", "2026-05-01"]
"#;

/// The calls and the running time of a year.
#[derive(Debug, Default, PartialEq)]
struct Year {
    starts: usize,
    stops: usize,
    running: SignedDuration,
}

/// The year computed from the edges of the timetable alone.
fn by_the_timetable(from: Timestamp, to: Timestamp) -> Year {
    let mut year = Year::default();
    let mut running_since = None;
    for edge in edges(from, to) {
        match (edge.action, running_since) {
            (Action::Start, _) => {
                year.starts += 1;
                running_since = Some(edge.at);
            }
            (Action::Stop, Some(since)) => {
                year.stops += 1;
                year.running += edge.at.duration_since(since);
                running_since = None;
            }
            // Excepted days have their stop, and nothing to stop.
            (Action::Stop, None) => {}
        }
    }
    year
}

fn edges(from: Timestamp, to: Timestamp) -> Vec<Edge> {
    let schedule_set = schedule_set(OFFICE);
    let timetable = &schedule_set.schedules["office"].timetable;
    timetable
        .edges(from)
        .take_while(|edge| edge.at < to)
        .collect()
}

/// The year simulated with passes at these instants. The instance counts as running from the call that starts it to the one that stops it.
fn by_passes(from: Timestamp, passes: impl IntoIterator<Item = Timestamp>) -> Year {
    let mut cloud = Cloud::new(schedule_set(OFFICE), from, StateDetails::Reported);
    let web = cloud.stopped("office");
    let mut year = Year::default();
    let mut since = from;
    for at in passes {
        cloud.at(at);
        let before = cloud.state(&web);
        cloud.quick_pass();
        match (before, cloud.state(&web)) {
            (Stopped, Pending) => {
                year.starts += 1;
                since = at;
            }
            (Running, Stopping) => {
                year.stops += 1;
                year.running += at.duration_since(since);
            }
            (before, after) => assert_eq!(before, after),
        }
    }
    cloud.settle_all();
    assert_eq!(cloud.state(&web), Stopped);
    year
}

#[test]
fn a_year_of_passes_matches_the_timetable() {
    let (from, to) = (paris("2026-01-01 00:00"), paris("2027-01-01 00:00"));
    let expected = by_the_timetable(from, to);
    // 261 days from Monday to Friday, without 1 May and 25 December, which are Fridays.
    assert_eq!((expected.starts, expected.stops), (259, 259));
    assert_eq!(expected.running, SignedDuration::from_hours(259 * 12));

    let heartbeats = std::iter::successors(Some(from), |at| {
        Some(*at + SignedDuration::from_mins(5)).filter(|at| *at < to)
    });
    assert_eq!(by_passes(from, heartbeats), expected);

    let edges = edges(from, to);
    let only_at_edges: BTreeSet<Timestamp> = edges.iter().map(|edge| edge.at).collect();
    assert_eq!(by_passes(from, only_at_edges.clone()), expected);

    let doubled: BTreeSet<Timestamp> = only_at_edges
        .iter()
        .flat_map(|at| [*at, *at + SETTLING])
        .collect();
    assert_eq!(by_passes(from, doubled), expected);
}
