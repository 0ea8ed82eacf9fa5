//! Periods of Instance Scheduler keep their edges: edge cases, and generated weeks of plain weekdays.

use curfew_core::configuration::RawScheduleSet;
use curfew_core::schedule::Schedule;
use curfew_core::timetable::{Action, Desired};
use curfew_import::instance_scheduler;
use jiff::{Timestamp, ToSpan as _};
use proptest::prelude::*;
use serde_json::{Value, json};

/// Returns the only schedule, made of periods, and its text with comments on one line.
fn schedule(zone: &str, periods: &[Value]) -> (Schedule, String) {
    let template = json!({"Type": "Custom::ServiceInstanceSchedule", "Properties": {
        "Name": "it", "NoStackPrefix": "True", "Timezone": zone, "Periods": periods,
    }});
    let toml = instance_scheduler(&template.to_string()).unwrap().toml;
    let raw: RawScheduleSet = toml::from_str(&toml).unwrap();
    let schedule = raw.resolve().unwrap().schedules["it"].clone();
    (schedule, toml.replace("\n# ", " "))
}

fn edges(schedule: &Schedule, from: &str, count: usize) -> Vec<String> {
    let zone = schedule.timetable.time_zone();
    schedule
        .timetable
        .edges(from.parse::<Timestamp>().unwrap())
        .take(count)
        .map(|edge| {
            format!(
                "{} {}",
                edge.at.to_zoned(zone.clone()).strftime("%a %d %H:%M"),
                edge.action
            )
        })
        .collect()
}

#[test]
fn office_hours_keep_the_wall_clock_over_a_change() {
    let (office, _) = schedule(
        "Europe/London",
        &[json!({"BeginTime": "09:00", "EndTime": "17:00", "WeekDays": "mon-fri"})],
    );
    assert_eq!(
        edges(&office, "2026-03-27T12:00:00Z", 5),
        [
            "Fri 27 17:00 stop",
            "Mon 30 09:00 start",
            "Mon 30 17:00 stop",
            "Tue 31 09:00 start",
            "Tue 31 17:00 stop"
        ],
    );
    assert_eq!(
        office
            .timetable
            .next_edge("2026-03-28T00:00:00Z".parse().unwrap())
            .unwrap()
            .at
            .to_string(),
        "2026-03-30T08:00:00Z"
    );
}

#[test]
fn monday_morning_to_friday_evening_is_one_run() {
    let (week, toml) = schedule(
        "Europe/Paris",
        &[
            json!({"BeginTime": "09:00", "WeekDays": "mon"}),
            json!({"WeekDays": "tue-thu"}),
            json!({"EndTime": "17:00", "WeekDays": "fri"}),
        ],
    );
    // Friday has no desired state until 17:00, and a week has only these two edges.
    assert_eq!(
        edges(&week, "2026-06-01T00:00:00Z", 3),
        [
            "Mon 01 09:00 start",
            "Fri 05 17:00 stop",
            "Mon 08 09:00 start"
        ],
    );
    assert!(
        toml.contains("start = \"0 9 * * MON\"\nstop = \"0 17 * * FRI\""),
        "{toml}"
    );
}

#[test]
fn a_period_without_end_ends_with_its_last_day() {
    let (start, _) = schedule(
        "UTC",
        &[json!({"BeginTime": "09:00", "WeekDays": "mon-fri"})],
    );
    assert_eq!(
        edges(&start, "2026-06-05T00:00:00Z", 3),
        [
            "Fri 05 09:00 start",
            "Sat 06 00:00 stop",
            "Mon 08 09:00 start"
        ],
    );
    let (daily, toml) = schedule("UTC", &[json!({"BeginTime": "09:00"})]);
    assert!(
        daily
            .timetable
            .edges("2026-06-05T00:00:00Z".parse().unwrap())
            .take(9)
            .all(|it| it.action == Action::Start)
    );
    assert!(toml.contains("`enforce` has no effect"), "{toml}");
}

#[test]
fn a_running_period_outweighs_the_end_of_another() {
    // 21:00 on a weekday: the first period wants running until midnight, regardless of the second.
    let (both, _) = schedule(
        "UTC",
        &[
            json!({"BeginTime": "09:00", "WeekDays": "mon-fri"}),
            json!({"EndTime": "20:00"}),
        ],
    );
    assert_eq!(
        edges(&both, "2026-06-05T00:00:00Z", 4),
        [
            "Fri 05 09:00 start",
            "Sat 06 20:00 stop",
            "Sun 07 20:00 stop",
            "Mon 08 09:00 start"
        ],
    );
}

#[test]
fn stops_alone_take_days_of_the_month_and_nth_weekdays() {
    let (last, toml) = schedule("UTC", &[json!({"EndTime": "20:30", "MonthDays": "L,15W"})]);
    assert!(
        toml.contains("stop = \"cron(30 20 15W,L * ? *)\""),
        "{toml}"
    );
    assert_eq!(
        edges(&last, "2026-08-01T00:00:00Z", 2),
        ["Fri 14 20:30 stop", "Mon 31 20:30 stop"]
    );
    let (nth, _) = schedule(
        "UTC",
        &[json!({"EndTime": "20:00", "WeekDays": "mon#1,fri#2,satL", "Months": "jun"})],
    );
    assert_eq!(
        edges(&nth, "2026-05-01T00:00:00Z", 3),
        [
            "Mon 01 20:00 stop",
            "Fri 12 20:00 stop",
            "Sat 27 20:00 stop"
        ],
    );
}

#[test]
fn a_minute_between_two_periods_is_bridged() {
    let evening = json!({"BeginTime": "20:00", "EndTime": "23:59", "WeekDays": "mon-fri"});
    let morning = json!({"BeginTime": "00:00", "EndTime": "04:00", "WeekDays": "tue-sat"});
    let (night, toml) = schedule("UTC", &[evening.clone(), morning]);
    assert_eq!(
        edges(&night, "2026-06-05T12:00:00Z", 3),
        [
            "Fri 05 20:00 start",
            "Sat 06 04:00 stop",
            "Mon 08 20:00 start"
        ]
    );
    assert!(toml.contains("ends a minute later."), "{toml}");
    // The period after Friday is missing.
    let (_, toml) = schedule(
        "UTC",
        &[
            evening.clone(),
            json!({"BeginTime": "00:00", "EndTime": "04:00", "WeekDays": "tue-fri"}),
        ],
    );
    assert!(
        toml.contains("also on days without the other period"),
        "{toml}"
    );
    // Alone it stops at 23:59, and not a minute later.
    let (alone, _) = schedule("UTC", &[evening]);
    assert_eq!(
        edges(&alone, "2026-06-05T21:00:00Z", 1),
        ["Fri 05 23:59 stop"]
    );
    let (day, _) = schedule(
        "UTC",
        &[
            json!({"BeginTime": "08:00", "EndTime": "12:00"}),
            json!({"BeginTime": "12:01", "EndTime": "18:00"}),
        ],
    );
    assert_eq!(
        edges(&day, "2026-06-05T00:00:00Z", 2),
        ["Fri 05 08:00 start", "Fri 05 18:00 stop"]
    );
}

#[test]
fn a_day_to_its_last_minute_is_a_whole_day() {
    let text = include_str!("../documents/instance-scheduler-always-on.json");
    let toml = instance_scheduler(text).unwrap().toml;
    assert!(
        toml.contains("running = \"00:00-24:00\" # period entire-day: whole week"),
        "{toml}"
    );
    assert!(
        toml.contains("`entire-day` ends at 23:59, the latest end"),
        "{toml}"
    );
    let raw: RawScheduleSet = toml::from_str(&toml).unwrap();
    let running = &raw.resolve().unwrap().schedules["running"].timetable;
    let monday = "2026-06-01T00:00:00Z".parse().unwrap();
    assert_eq!(running.next_edge(monday), None);
    assert_eq!(running.desired(monday), Desired::Running);
    // On a subset of days there is a stop at the end of the last one, and none in between.
    let whole = json!({"BeginTime": "00:00", "EndTime": "23:59", "WeekDays": "mon-fri"});
    let (week, _) = schedule("UTC", &[whole]);
    assert_eq!(
        edges(&week, "2026-06-01T12:00:00Z", 2),
        ["Sat 06 00:00 stop", "Mon 08 00:00 start"]
    );
}

#[test]
fn an_overnight_period_is_one_window() {
    let (night, toml) = schedule(
        "UTC",
        &[json!({"BeginTime": "22:00", "EndTime": "06:00", "WeekDays": "fri"})],
    );
    assert!(toml.contains("running = \"Fri 22:00-06:00\""), "{toml}");
    assert!(
        toml.contains("Instance Scheduler refuses such a period"),
        "{toml}"
    );
    assert_eq!(
        edges(&night, "2026-06-05T00:00:00Z", 2),
        ["Fri 05 22:00 start", "Sat 06 06:00 stop"]
    );
}

/// The desired state of Instance Scheduler at a minute of a week, from its documentation: one period after the other,
/// without computing a week.
fn reference_state(periods: &[(u8, Option<u16>, Option<u16>)], minute: i64) -> Desired {
    let at = |minute: i64| {
        let minute = minute.rem_euclid(7 * 1440);
        let (day, time) = (minute / 1440, u16::try_from(minute % 1440).unwrap());
        let mut states = vec![];
        for (days, begin, end) in periods {
            let on = days & (1 << day) != 0;
            states.push(match (begin, end) {
                _ if !on => Desired::Stopped,
                // 00:00–23:59 is the whole day.
                (None, None) | (Some(0), Some(1439)) => Desired::Running,
                (Some(begin), None) if time >= *begin => Desired::Running,
                (None, Some(end)) if time >= *end => Desired::Stopped,
                (Some(begin), Some(end)) if (*begin..*end).contains(&time) => Desired::Running,
                (Some(_), Some(_)) => Desired::Stopped,
                _ => Desired::Unmanaged,
            });
        }
        [Desired::Running, Desired::Unmanaged]
            .into_iter()
            .find(|wish| states.contains(wish))
            .unwrap_or(Desired::Stopped)
    };
    let bridged = periods.len() > 1
        && at(minute - 1) == Desired::Running
        && at(minute + 1) == Desired::Running;
    match at(minute) {
        Desired::Stopped if bridged => Desired::Running,
        state => state,
    }
}

/// A time of day or none; often one of a few that touch each other, or leave a minute between them.
fn time() -> impl Strategy<Value = Option<u16>> {
    let near = proptest::sample::select(vec![0u16, 1, 540, 541, 1438, 1439]);
    proptest::option::of(prop_oneof![0u16..1440, near])
}

proptest! {
    /// The starts and stops equal those of Instance Scheduler in each week, for periods on plain weekdays.
    #[test]
    fn edges_are_those_of_instance_scheduler(
        periods in proptest::collection::vec(
            (1u8..128, time(), time()), 1..4)
    ) {
        // Instance Scheduler refuses an overnight period, and a whole week of one is empty.
        let periods: Vec<_> = periods.into_iter().map(|(days, begin, end)| match (begin, end) {
            (Some(begin), Some(end)) if end <= begin => (days, Some(end.min(1438)), Some(begin.max(1439))),
            _ => (days, begin, end),
        }).collect();
        let clock = |time: Option<u16>| time.map(|time| format!("{:02}:{:02}", time / 60, time % 60));
        let written: Vec<Value> = periods.iter().map(|(days, begin, end)| {
            let days: Vec<Value> = (0..7).filter(|day| days & (1 << day) != 0).map(Value::from).collect();
            json!({"WeekDays": days, "BeginTime": clock(*begin), "EndTime": clock(*end)})
        }).collect();
        let (schedule, toml) = schedule("UTC", &written);
        // A window that an adjacent period extended by a minute adds a minute on other days, and the text notes it.
        prop_assume!(!toml.contains("also on days without"));
        // The second week, so that the first minute has a predecessor. 2026-06-01 is a Monday.
        let monday: Timestamp = "2026-06-08T00:00:00Z".parse().unwrap();
        let expected: Vec<_> = (0..7 * 1440).filter_map(|minute| {
            let now = reference_state(&periods, minute);
            let action = match now {
                Desired::Running => Action::Start,
                Desired::Stopped => Action::Stop,
                Desired::Unmanaged => return None,
            };
            (reference_state(&periods, minute - 1) != now).then(|| (monday + minute.minutes(), action))
        }).collect();
        let found: Vec<_> = schedule.timetable
            .edges(monday - 1.second())
            .take_while(|edge| edge.at < monday + (7 * 24).hours())
            .map(|edge| (edge.at, edge.action))
            .collect();
        prop_assert_eq!(found, expected, "{}", toml);
    }
}
