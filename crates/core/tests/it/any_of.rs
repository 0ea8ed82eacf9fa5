//! Compares the union of several timetables with its members, evaluated one by one.

use std::collections::BTreeSet;

use curfew_core::timetable::{Action, Desired, Edge, Timetable};
use jiff::{Timestamp, ToSpan as _};
use proptest::prelude::*;

fn schedule(text: &str) -> Timetable {
    Timetable::parse_inline(text).unwrap_or_else(|problems| panic!("{text}: {problems:?}"))
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn all_of(timetable: &Timetable, from: Timestamp, to: Timestamp) -> Vec<Edge> {
    timetable
        .edges(from)
        .take_while(|edge| edge.at <= to)
        .collect()
}

#[test]
fn overlapping_days_of_several_offices_are_one_run() {
    let teams = Timetable::any_of(vec![
        schedule("Mon-Fri 09:00-18:00 Asia/Kolkata"),
        schedule("Mon-Fri 08:00-20:00 Europe/Paris"),
    ]);
    // 09:00 in Kolkata is 03:30 UTC; 20:00 in Paris is 19:00 UTC in winter.
    let edges: Vec<_> = all_of(
        &teams,
        at("2026-11-23T00:00:00Z"),
        at("2026-11-24T00:00:00Z"),
    )
    .iter()
    .map(|edge| format!("{} {}", edge.at, edge.action))
    .collect();
    assert_eq!(
        edges,
        ["2026-11-23T03:30:00Z start", "2026-11-23T19:00:00Z stop"]
    );
    assert_eq!(teams.desired(at("2026-11-23T04:00:00Z")), Desired::Running);
    assert_eq!(teams.desired(at("2026-11-22T12:00:00Z")), Desired::Stopped);
    assert_eq!(
        teams.reason(at("2026-11-23T04:00:00Z")),
        "one of 2 schedules wants it: inside the window `Mon-Fri 09:00-18:00` in Asia/Kolkata"
    );
    assert_eq!(
        teams.reason(at("2026-11-22T12:00:00Z")),
        "none of 2 schedules wants it running: outside `Mon-Fri 09:00-18:00` since Fri 20 Nov 18:00 IST"
    );
}

#[test]
fn a_run_without_end_has_no_edge_and_ends_the_search() {
    let always = schedule("00:00-24:00 UTC");
    let office = schedule("Mon-Fri 08:00-20:00 Europe/Paris");
    let both = Timetable::any_of(vec![office.clone(), always]);
    assert_eq!(both.next_edge(at("2026-11-23T00:00:00Z")), None);
    // Three adjacent shifts.
    let shifts = Timetable::any_of(vec![
        schedule("00:00-08:00 UTC"),
        schedule("08:00-16:00 UTC"),
        schedule("16:00-24:00 UTC"),
        office,
    ]);
    assert_eq!(shifts.next_edge(at("2026-11-23T12:00:00Z")), None);
    assert_eq!(shifts.last_edge(at("2026-11-23T12:00:00Z")), None);
    assert_eq!(shifts.desired(at("2026-11-23T12:00:00Z")), Desired::Running);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases / 2, ..ProptestConfig::default() })]

    #[test]
    fn edges_are_where_the_combined_state_changes(
        texts in proptest::collection::vec(proptest::sample::select(vec![
            "Mon-Fri 08:00-20:00 Europe/Paris",
            "Mon-Fri 09:00-18:00 Asia/Kolkata",
            "Sun-Thu 22:00-06:00; except 2026-03-24 Africa/Casablanca",
            "stop 0 20 * * * America/New_York",
            "start 30 3 * * 1-5 UTC",
            "start 0 6 * * *; stop 0 18 * * * Australia/Lord_Howe",
            "start */20 1-3 * * *; stop 0 12 * * * Europe/London",
            "00:00-24:00; only 2026-03-20..2026-03-31 Pacific/Auckland",
        ]), 2..5),
        from in 0_i64..40 * 24 * 60,
    ) {
        let members: Vec<_> = texts.iter().map(|text| schedule(text)).collect();
        let together = Timetable::any_of(members.clone());
        let from = at("2026-03-01T00:00:00Z") + from.minutes();
        let to = from + (9 * 24).hours();

        let running = |at| members.iter().any(|member| member.desired(at) == Desired::Running);
        let edges: Vec<_> = members.iter().flat_map(|member| all_of(member, from, to)).collect();
        let instants: BTreeSet<_> = edges.iter().map(|edge| edge.at).collect();
        let expected: Vec<_> = instants
            .into_iter()
            .filter_map(|at| {
                let starts = edges.contains(&Edge { at, action: Action::Start });
                let action = match (running(at - 1.nanosecond()), running(at)) {
                    (true, true) => return None,
                    (false, true) => Action::Start,
                    // Members without a desired state have edges too.
                    (false, false) if starts => Action::Start,
                    (_, false) => Action::Stop,
                };
                Some(Edge { at, action })
            })
            .collect();
        prop_assert_eq!(&all_of(&together, from, to), &expected);
        let mut backward: Vec<_> =
            std::iter::successors(together.last_edge(to), |edge| together.last_edge(edge.at - 1.nanosecond()))
                .take_while(|edge| edge.at > from)
                .collect();
        backward.reverse();
        prop_assert_eq!(&backward, &expected);
    }
}
