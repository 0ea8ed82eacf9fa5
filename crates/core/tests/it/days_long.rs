//! Windows that end on a named day: their edges, the effect of excepted days, and their UTC rules.

use curfew_core::timetable::{RawTimetable, Timetable, triggers};
use jiff::Timestamp;

fn edges(text: &str, from: &str, count: usize) -> Vec<String> {
    let timetable = Timetable::parse_inline(text).unwrap();
    let edges: Vec<_> = timetable
        .edges(from.parse::<Timestamp>().unwrap())
        .take(count)
        .collect();
    for edge in &edges {
        assert_eq!(timetable.last_edge(edge.at), Some(*edge), "{text}");
    }
    let zone = timetable.time_zone();
    let written = edges.iter().map(|edge| {
        let at = edge.at.to_zoned(zone.clone());
        format!("{} {}", at.strftime("%a %d %H:%M"), edge.action)
    });
    written.collect()
}

#[test]
fn a_weekend_is_one_run() {
    let raw: RawTimetable = toml::from_str(
        r#"
        timezone = "UTC"
        running = "Fri 20:00-Mon 06:00"
        "#,
    )
    .unwrap();
    let timetable = raw.resolve("schedules.x").unwrap();
    assert_eq!(timetable.to_string(), "Fri 20:00-Mon 06:00 UTC");
    assert_eq!(
        edges(&timetable.to_string(), "2026-06-04T00:00:00Z", 3),
        [
            "Fri 05 20:00 start",
            "Mon 08 06:00 stop",
            "Fri 12 20:00 start"
        ]
    );
    assert_eq!(
        timetable.reason("2026-06-07T12:00:00Z".parse().unwrap()),
        "inside the window `Fri 20:00-Mon 06:00` in UTC"
    );
    let long: RawTimetable = toml::from_str(
        r#"
        timezone = "UTC"
        window = [{ days = "Fri", from = "20:00", to = "Mon 06:00" }]
        "#,
    )
    .unwrap();
    assert_eq!(long.resolve("schedules.x").unwrap(), timetable);
}

#[test]
fn the_committed_cases_are_parsed() {
    #[derive(serde::Deserialize)]
    struct File {
        schedules: std::collections::BTreeMap<String, RawTimetable>,
    }
    let file: File = toml::from_str(include_str!("../cases/weekend-window.toml")).unwrap();
    let weekend = file.schedules["x"].resolve("schedules.x").unwrap();
    assert_eq!(weekend.to_string(), "Fri 20:00-Mon 06:00 UTC");
    let file: File = toml::from_str(include_str!("../cases/never-fires.toml")).unwrap();
    let never =
        file.schedules["x"].warnings("schedules.x", "2026-01-01T00:00:00Z".parse().unwrap());
    assert_eq!(
        never[0].message,
        "the stop cron `0 18 31 2,4 *` never fires"
    );
}

#[test]
fn an_excepted_day_interrupts_a_run_of_days() {
    // Saturday is excepted: a stop at 00:00, and a start on Sunday.
    assert_eq!(
        edges(
            "Fri 20:00-Mon 06:00; except 2026-06-06 UTC",
            "2026-06-05T00:00:00Z",
            5
        ),
        [
            "Fri 05 20:00 start",
            "Sat 06 00:00 stop",
            "Sun 07 00:00 start",
            "Mon 08 06:00 stop",
            "Fri 12 20:00 start",
        ]
    );
    // Friday is excepted: there is no run, but its stop fires.
    assert_eq!(
        edges(
            "Fri 20:00-Mon 06:00; except 2026-06-05 UTC",
            "2026-06-05T00:00:00Z",
            2
        ),
        ["Mon 08 06:00 stop", "Fri 12 20:00 start"]
    );
    // Monday is excepted, the day on which the window ends.
    assert_eq!(
        edges(
            "Fri 20:00-Mon 06:00; except 2026-06-08 UTC",
            "2026-06-05T00:00:00Z",
            3
        ),
        [
            "Fri 05 20:00 start",
            "Mon 08 00:00 stop",
            "Mon 08 06:00 stop"
        ]
    );
    // A window that begins on a listed day runs to its end; no window begins on another day.
    assert_eq!(
        edges(
            "Fri 20:00-Mon 06:00; only 2026-06-05 UTC",
            "2026-06-01T00:00:00Z",
            3
        ),
        ["Fri 05 20:00 start", "Mon 08 06:00 stop"]
    );
}

#[test]
fn a_window_may_last_a_minute_less_than_a_week_and_cross_months() {
    assert_eq!(
        edges("Mon 06:00-Mon 05:59 UTC", "2026-06-25T00:00:00Z", 3),
        [
            "Mon 29 05:59 stop",
            "Mon 29 06:00 start",
            "Mon 06 05:59 stop"
        ]
    );
    assert_eq!(
        edges(
            "FriL 20:00-Tue 06:00 Europe/Paris",
            "2026-10-01T00:00:00Z",
            2
        ),
        ["Fri 30 20:00 start", "Tue 03 06:00 stop"]
    );
}

#[test]
fn utc_rules_fire_on_the_day_on_which_it_ends() {
    let rules = |text: &str| -> Vec<String> {
        let timetable = Timetable::parse_inline(text).unwrap();
        let rules = triggers([&timetable], "2026-06-01T00:00:00Z".parse().unwrap());
        rules.into_iter().map(|rule| rule.expression).collect()
    };
    assert_eq!(
        rules("Fri 20:00-Mon 06:00 UTC"),
        ["cron(0 20 ? * FRI *)", "cron(0 6 ? * MON *)"]
    );
    // The run continues after the excepted Saturday.
    let cut = rules("Fri 20:00-Mon 06:00; except 2026-06-06 UTC");
    assert!(cut.contains(&"cron(0 0 6,7 6 ? *)".to_owned()), "{cut:?}");
}
