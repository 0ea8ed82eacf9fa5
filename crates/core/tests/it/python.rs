//! Compares edges with Python's `zoneinfo` and `croniter`, from a committed fixture that `oracle/generate.py` writes.

use curfew_core::timetable::Timetable;
use serde::Deserialize;

#[derive(Deserialize)]
struct Fixture {
    cases: Vec<Case>,
}

/// The zone, the cron, the instant after which it fires, and the instants at which it fires.
#[derive(Deserialize)]
struct Case(String, String, jiff::Timestamp, Vec<jiff::Timestamp>);

#[test]
fn edges_match_zoneinfo_and_croniter() {
    let fixture: Fixture = serde_json::from_str(include_str!("../oracle/fixture.json")).unwrap();
    assert!(fixture.cases.len() > 500, "the fixture is complete");
    let mut different = Vec::new();
    for Case(zone, cron, after, expected) in fixture.cases {
        let timetable = Timetable::parse_inline(&format!("stop {cron} {zone}")).unwrap();
        let edges: Vec<_> = timetable
            .edges(after)
            .take(expected.len())
            .map(|edge| edge.at)
            .collect();
        if edges != expected {
            different.push(format!(
                "{cron} in {zone} after {after}:\n  ours   {edges:?}\n  theirs {expected:?}"
            ));
        }
        // The same edges backward from the last one.
        let mut at = expected[expected.len() - 1];
        for expected in expected.iter().rev() {
            let edge = timetable.last_edge(at).unwrap();
            assert_eq!(edge.at, *expected, "{cron} in {zone} until {at}");
            at = edge.at - jiff::SignedDuration::from_nanos(1);
        }
    }
    assert!(
        different.is_empty(),
        "{} differ:\n{}",
        different.len(),
        different.join("\n")
    );
}
