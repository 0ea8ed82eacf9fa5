//! Time zones with unusual clock changes, and the UTC rules in every IANA zone.

use curfew_core::timetable::{Cron, Desired, Timetable, time_zone_names, triggers};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};
use proptest::prelude::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn schedule(text: &str) -> Timetable {
    Timetable::parse_inline(text).unwrap_or_else(|problems| panic!("{text}: {problems:?}"))
}

/// Returns the edges after `from` up to and including `to`, as text.
fn edges(timetable: &Timetable, from: &str, to: &str) -> Vec<String> {
    let to = at(to);
    timetable
        .edges(at(from))
        .take_while(|edge| edge.at <= to)
        .map(|edge| format!("{} {}", edge.at, edge.action))
        .collect()
}

#[test]
fn casablanca_changes_its_offset_during_ramadan() {
    // +01 all year, +00 in Ramadan: 2026-02-15 03:00 → 02:00, 2026-03-22 02:00 → 03:00.
    let office = schedule("08:00-20:00 Africa/Casablanca");
    assert_eq!(
        edges(&office, "2026-02-14T00:00:00Z", "2026-02-16T00:00:00Z"),
        [
            "2026-02-14T07:00:00Z start",
            "2026-02-14T19:00:00Z stop",
            "2026-02-15T08:00:00Z start",
            "2026-02-15T20:00:00Z stop"
        ],
    );
    let night = schedule("stop 30 2 * * * Africa/Casablanca");
    assert_eq!(
        edges(&night, "2026-02-14T12:00:00Z", "2026-02-16T12:00:00Z"),
        ["2026-02-15T01:30:00Z stop", "2026-02-16T02:30:00Z stop"],
        "02:30 occurs twice on the 15th and fires at the first",
    );
    assert_eq!(
        edges(&night, "2026-03-21T12:00:00Z", "2026-03-23T12:00:00Z"),
        ["2026-03-22T02:00:00Z stop", "2026-03-23T01:30:00Z stop"],
        "02:30 does not occur on the 22nd and fires at the jump",
    );
}

#[test]
fn lord_howe_changes_by_half_an_hour() {
    // 2026-04-05 02:00 (+11) → 01:30 (+10:30); 2026-10-04 02:00 (+10:30) → 02:30 (+11).
    let fold = schedule("start 45 1 * * *; stop 15 2 * * * Australia/Lord_Howe");
    assert_eq!(
        edges(&fold, "2026-04-04T12:00:00Z", "2026-04-05T12:00:00Z"),
        ["2026-04-04T14:45:00Z start", "2026-04-04T15:45:00Z stop"],
    );
    assert_eq!(
        edges(&fold, "2026-10-03T12:00:00Z", "2026-10-04T12:00:00Z"),
        ["2026-10-03T15:15:00Z start", "2026-10-03T15:30:00Z stop"],
    );
}

#[test]
fn apia_skips_a_day_and_its_edges_fire_at_the_jump() {
    // After 2011-12-29 23:59:59 (-10) came 2011-12-31 00:00 (+14).
    let stop = schedule("stop 0 20 * * * Pacific/Apia");
    assert_eq!(
        edges(&stop, "2011-12-29T12:00:00Z", "2011-12-31T12:00:00Z"),
        [
            "2011-12-30T06:00:00Z stop",
            "2011-12-30T10:00:00Z stop",
            "2011-12-31T06:00:00Z stop"
        ],
    );
    // The 30th, a Friday, is skipped: its window has no running time, but its stop fires. Saturday has no window.
    let office = schedule("Mon-Fri 08:00-20:00 Pacific/Apia");
    assert_eq!(
        edges(&office, "2011-12-29T12:00:00Z", "2012-01-02T12:00:00Z"),
        [
            "2011-12-29T18:00:00Z start",
            "2011-12-30T06:00:00Z stop",
            "2011-12-30T10:00:00Z stop",
            "2012-01-01T18:00:00Z start",
            "2012-01-02T06:00:00Z stop",
        ],
    );
    assert_eq!(office.desired(at("2011-12-30T12:00:00Z")), Desired::Stopped);
    // A run continues across the skipped day.
    let long = schedule("Thu,Fri,Sat Pacific/Apia");
    assert_eq!(
        edges(&long, "2011-12-29T00:00:00Z", "2012-01-03T00:00:00Z"),
        ["2011-12-29T10:00:00Z start", "2011-12-31T10:00:00Z stop"],
    );
}

#[test]
fn st_johns_changed_at_a_minute_past_midnight() {
    // 2006-10-29 00:01 (-02:30) → 2006-10-28 23:01 (-03:30): midnight occurs twice, on the same date.
    let midnight = schedule("start 0 0 * * *; stop 30 23 * * * America/St_Johns");
    assert_eq!(
        edges(&midnight, "2006-10-28T12:00:00Z", "2006-10-30T12:00:00Z"),
        [
            "2006-10-29T02:00:00Z stop",
            "2006-10-29T02:30:00Z start",
            "2006-10-30T03:00:00Z stop",
            "2006-10-30T03:30:00Z start",
        ],
        "each once: 23:30 of the 28th and 00:00 of the 29th at their first occurrence",
    );
    // 2007-03-11 00:01 (-03:30) → 01:01 (-02:30).
    let gap = schedule("start 30 0 * * * America/St_Johns");
    assert_eq!(
        edges(&gap, "2007-03-10T12:00:00Z", "2007-03-12T12:00:00Z"),
        ["2007-03-11T03:31:00Z start", "2007-03-12T03:00:00Z start"],
    );
}

#[test]
fn a_window_inside_a_gap_never_runs_but_its_stop_fires() {
    let batch = schedule("02:15-02:45 Europe/Paris");
    assert_eq!(
        edges(&batch, "2026-03-28T12:00:00Z", "2026-03-30T12:00:00Z"),
        [
            "2026-03-29T01:00:00Z stop",
            "2026-03-30T00:15:00Z start",
            "2026-03-30T00:45:00Z stop"
        ],
    );
}

#[test]
fn windows_on_both_sides_of_a_gap_are_one_run() {
    let batch = schedule("00:00-02:00,03:00-06:00 Europe/Paris");
    assert_eq!(
        edges(&batch, "2026-03-28T12:00:00Z", "2026-03-29T12:00:00Z"),
        ["2026-03-28T23:00:00Z start", "2026-03-29T04:00:00Z stop"],
    );
}

#[test]
fn a_stop_of_an_excepted_day_does_not_hide_the_start_that_a_gap_moves_onto_it() {
    // 1986-01-01 00:00 (+05:30) → 00:15 (+05:45): the end of the excepted day and the next start are one instant.
    let night = schedule("00:15-24:00; except 1985-12-31 Asia/Kathmandu");
    assert_eq!(
        edges(&night, "1985-12-30T12:00:00Z", "1986-01-01T12:00:00Z"),
        ["1985-12-30T18:30:00Z stop", "1985-12-31T18:30:00Z start"],
    );
}

#[test]
fn excepting_the_day_that_a_zone_skips_changes_nothing() {
    let week = schedule("start 0 8 * * MON; stop 0 20 * * SUN; except 2011-12-30 Pacific/Apia");
    assert_eq!(
        edges(&week, "2011-12-28T00:00:00Z", "2012-01-01T12:00:00Z"),
        ["2011-12-30T10:00:00Z start", "2012-01-01T06:00:00Z stop"],
        "a start of running instances at the jump",
    );
    assert_eq!(week.desired(at("2011-12-30T09:59:59Z")), Desired::Running);
    assert_eq!(week.desired(at("2011-12-30T10:00:00Z")), Desired::Running);
}

#[test]
fn the_zone_database_is_independent_of_the_machine() {
    assert!(time_zone_names().count() > 400);
}

/// Compiles the rules of these timetables, and parses each as a timetable in UTC. The evaluation of crons in UTC is tested by comparison
/// with other implementations.
fn rules(timetables: &[Timetable], now: Timestamp) -> Vec<Timetable> {
    let rules = triggers(timetables, now).into_iter();
    rules
        .map(|rule| {
            let expression = rule.expression;
            assert!(
                expression.len() <= 256,
                "EventBridge takes 256 characters: {expression}"
            );
            let cron: Cron = expression
                .parse()
                .unwrap_or_else(|problem| panic!("{expression}: {problem}"));
            schedule(&format!("stop {cron} UTC"))
        })
        .collect()
}

fn fires(rules: &[Timetable], at: Timestamp) -> bool {
    let fires = |rule: &Timetable| rule.last_edge(at).is_some_and(|fired| fired.at == at);
    rules.iter().any(fires)
}

/// Asserts that a rule fires at the minute of each of the next edges within 400 days.
fn assert_triggered(timetables: &[Timetable], now: Timestamp, edges: usize) {
    let rules = rules(timetables, now);
    let until = now + (400 * 24).hours();
    for timetable in timetables {
        for edge in timetable
            .edges(now)
            .take_while(|edge| edge.at <= until)
            .take(edges)
        {
            assert!(
                fires(&rules, edge.at),
                "{timetable}: nothing fires for {} at {}",
                edge.action,
                edge.at
            );
        }
    }
}

#[test]
fn every_edge_around_clock_changes_has_a_trigger_in_every_zone() {
    for name in time_zone_names() {
        let zone = TimeZone::get(&name).unwrap();
        let office = schedule(&format!("Mon-Fri 08:30-20:00; stop 10 2 * * * {name}"));
        let now = at("2026-11-23T00:00:00Z");
        let changes: Vec<_> = zone
            .following(now)
            .map(|change| change.timestamp())
            .take_while(|change| *change <= now + (400 * 24).hours())
            .collect();
        let rules = rules(std::slice::from_ref(&office), now);
        assert!(rules.len() <= 24, "{name}: {rules:?}");
        for change in changes {
            // The rules are compiled at `now`; the edges are those around the change.
            for edge in office
                .edges(change - 49.hours())
                .take_while(|edge| edge.at <= change + 49.hours())
            {
                assert!(
                    fires(&rules, edge.at),
                    "{name}: nothing fires for {} at {}: {rules:?}",
                    edge.action,
                    edge.at
                );
            }
        }
    }
}

const BODIES: [&str; 17] = [
    "Mon-Fri 08:00-20:00",
    "22:15-06:45",
    "Sun-Thu 23:30-01:30",
    "dates=1-7 Mon 22:00-06:00",
    "dates=L 00:10-23:50",
    "dates=15W,LW 20:00-04:00",
    "FriL months=Jan-Jun 00:00-24:00",
    "months=2,12 dates=28-31",
    "start 0 6 * * 1-5; stop 30 19 * * *",
    "start 5,35 0-3 1 * *; stop 0 23 * * SUN",
    "start 0 1 13 * FRI; stop 0 22 1,15,31 * MON",
    "start 0 0 */2 * TUE; stop 59 23 28-31 * *",
    "start cron(0 0 1W * ? *); stop cron(59 23 LW * ? *)",
    "start cron(0 2 ? * MON#1 2026-2027); stop cron(0 2 ? * 6L *)",
    "start 0 22 * * *; stop 0 6 * * *; except 12-24..01-02,05-01",
    "Mon-Sat 20:00-08:00; except 2026-12-25,2027-03-28",
    "start 0 8 * * *; stop 0 18 * * *; only 2026-12-01..2027-02-10",
];

fn zone_name() -> impl Strategy<Value = String> {
    proptest::sample::select(time_zone_names().collect::<Vec<_>>())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases / 2, ..ProptestConfig::default() })]

    #[test]
    fn every_edge_has_a_rule(
        name in zone_name(),
        body in proptest::sample::select(&BODIES[..]),
        days in 0_i64..4000,
    ) {
        let now = at("2024-01-01T00:00:00Z") + (days * 24).hours();
        assert_triggered(&[schedule(&format!("{body} {name}"))], now, 120);
    }

    #[test]
    fn the_rules_of_several_timetables_fire_at_every_edge_of_each(
        several in proptest::collection::vec((zone_name(), proptest::sample::select(&BODIES[..])), 2..6),
        days in 0_i64..4000,
    ) {
        let now = at("2024-01-01T00:00:00Z") + (days * 24).hours();
        let several: Vec<Timetable> = several.iter().map(|(name, body)| schedule(&format!("{body} {name}"))).collect();
        assert_triggered(&several, now, 60);
    }
}

fn expressions(texts: &[&str]) -> Vec<String> {
    let timetables: Vec<Timetable> = texts.iter().map(|text| schedule(text)).collect();
    triggers(&timetables, at("2026-11-23T00:00:00Z"))
        .into_iter()
        .map(|rule| format!("{} {:?}", rule.expression, rule.timetables))
        .collect()
}

#[test]
fn rules_stay_few_and_readable() {
    assert_eq!(
        expressions(&["stop cron(0 20 ? * MON-FRI *) UTC"]),
        ["cron(0 20 ? * MON-FRI *) [0]"]
    );
    // 00:30 in Kolkata is the evening before in UTC.
    assert_eq!(
        expressions(&["stop 30 0 * * 1-5 Asia/Kolkata"]),
        ["cron(0 19 ? * SUN-THU *) [0]"]
    );
    assert_eq!(
        expressions(&["stop 30 0 1 * * Asia/Kolkata"]),
        ["cron(0 19 28-31 * ? *) [0]"]
    );
    // The first rule is for the day on which 02:30 is skipped, at 01:00 UTC.
    assert_eq!(
        expressions(&["stop 30 2 * * * Europe/Paris"]),
        ["cron(0 1 28 3 ? 2027) [0]", "cron(30 0,1 * * ? *) [0]"]
    );
}

#[test]
fn schedules_that_share_minutes_share_rules() {
    let office = "Mon-Fri 08:00-20:00 UTC";
    assert_eq!(
        expressions(&[
            office,
            office,
            "Mon-Fri 07:00-20:00 UTC",
            "stop 30 20 * * 1-5 UTC"
        ]),
        [
            "cron(0 7,8,20 ? * MON-FRI *) [0, 1, 2]",
            "cron(30 20 ? * MON-FRI *) [3]"
        ]
    );
    // A hundred equal schedules need as many rules as one.
    let many: Vec<&str> = std::iter::repeat_n("Mon-Fri 08:00-20:00 Europe/Paris", 100).collect();
    assert_eq!(expressions(&many).len(), 1);
}
