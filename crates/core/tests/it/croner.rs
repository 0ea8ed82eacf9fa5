//! Compares crons with the crate croner, an independent implementation, in UTC. Clock changes are tested in other modules.
//!
//! `docs/reference/time.md` lists the crons for which croner differs from the documentation of cron and AWS. The property tests leave
//! them out; `documented_differences_from_croner` asserts them.

use std::str::FromStr as _;

use croner::parser::{CronParser, Seconds, Year};
use curfew_core::timetable::Timetable;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use proptest::prelude::*;

fn ours(cron: &str, after: Timestamp, count: usize) -> Vec<Timestamp> {
    let timetable = Timetable::parse_inline(&format!("start {cron} UTC"))
        .unwrap_or_else(|problems| panic!("{cron}: {problems:?}"));
    timetable
        .edges(after)
        .take(count)
        .map(|edge| edge.at)
        .collect()
}

fn theirs(cron: &croner::Cron, after: Timestamp, count: usize) -> Vec<Timestamp> {
    let after: Zoned = after.to_zoned(TimeZone::UTC);
    cron.iter_after(after)
        .take(count)
        .map(|at| at.timestamp())
        // Our edges end with the year 2199.
        .take_while(|at| at.to_zoned(TimeZone::UTC).year() < 2200)
        .collect()
}

fn unix() -> CronParser {
    CronParser::builder()
        .seconds(Seconds::Disallowed)
        .year(Year::Disallowed)
        .sloppy_ranges(true)
        .build()
}

/// Returns a parser for Quartz, which numbers weekdays like AWS. Quartz's seconds and year fields are added by the caller.
fn quartz() -> CronParser {
    CronParser::builder()
        .seconds(Seconds::Required)
        .year(Year::Required)
        .alternative_weekdays(true)
        .sloppy_ranges(true)
        .build()
}

fn field(min: u8, max: u8) -> impl Strategy<Value = String> {
    let item = prop_oneof![
        3 => (min..=max).prop_map(|value| value.to_string()),
        2 => (min..=max, min..=max).prop_map(|(one, other)| format!("{}-{}", one.min(other), one.max(other))),
        1 => (min..=max, min..=max, 1..=max / 2)
            .prop_map(|(one, other, step)| format!("{}-{}/{step}", one.min(other), one.max(other))),
        1 => (1..=max / 2).prop_map(|step| format!("*/{step}")),
        1 => (min..=max, 1..=max / 2).prop_map(|(first, step)| format!("{first}/{step}")),
    ];
    prop_oneof![2 => Just("*".to_owned()), 5 => proptest::collection::vec(item, 1..4).prop_map(|items| items.join(","))]
}

fn instant() -> impl Strategy<Value = Timestamp> {
    // From 1980 to 2100.
    (315_532_800_i64..4_102_444_800).prop_map(|second| Timestamp::from_second(second).unwrap())
}

/// Returns whether the crons differ because of a star: Vixie's cron checks only the first character of a day field, so with `*/2`
/// both fields must match. croner treats `*/2` as a restriction.
fn is_decided_by_the_star(dates: &str, weekdays: &str) -> bool {
    (dates.starts_with('*') && dates != "*") || (weekdays.starts_with('*') && weekdays != "*")
}

/// Returns whether the weekdays have steps that reach 7. For `4/3` croner continues from Thursday to 7, which is Sunday; ours ends with
/// the week, on Saturday.
fn steps_on_to_seven(weekdays: &str) -> bool {
    weekdays
        .split(',')
        .filter_map(|item| item.split_once('/'))
        .any(|(first, step)| {
            let numbers = first.parse::<u8>().ok().zip(step.parse::<u8>().ok());
            numbers.is_some_and(|(first, step)| (7 - first) % step == 0)
        })
}

proptest! {
    #[test]
    fn unix_crons_agree(
        (minute, hour, dates, month, weekdays) in (field(0, 59), field(0, 23), field(1, 31), field(1, 12), field(0, 6)),
        after in instant(),
    ) {
        let cron = format!("{minute} {hour} {dates} {month} {weekdays}");
        prop_assume!(!is_decided_by_the_star(&dates, &weekdays) && !steps_on_to_seven(&weekdays));
        let their_cron = unix().parse(&cron).unwrap();
        prop_assert_eq!(ours(&cron, after, 8), theirs(&their_cron, after, 8), "{}", cron);
    }

    #[test]
    fn aws_crons_agree(
        (minute, hour, month) in (field(0, 59), field(0, 23), field(1, 12)),
        (dates, weekdays) in prop_oneof![
            (field(1, 31), Just("?".to_owned())),
            (Just("L".to_owned()), Just("?".to_owned())),
            (Just("LW".to_owned()), Just("?".to_owned())),
            ((1..29_u8).prop_map(|day| format!("{day}W")), Just("?".to_owned())),
            (Just("?".to_owned()), field(1, 7)),
            (Just("?".to_owned()), (1..8_u8, 1..6_u8).prop_map(|(day, nth)| format!("{day}#{nth}"))),
            (Just("?".to_owned()), (1..8_u8).prop_map(|day| format!("{day}L"))),
        ],
        year in prop_oneof![3 => Just("*".to_owned()), 1 => (1990..2090_u16).prop_map(|year| format!("{year}-{}", year + 9))],
        after in instant(),
    ) {
        let fields = format!("{minute} {hour} {dates} {month} {weekdays} {year}");
        let their_cron = quartz().parse(&format!("0 {fields}")).unwrap();
        prop_assert_eq!(ours(&format!("cron({fields})"), after, 8), theirs(&their_cron, after, 8), "{}", fields);
    }
}

#[test]
fn documented_differences_from_croner() {
    let after: Timestamp = "2026-02-01T00:00:00Z".parse().unwrap();
    // Ours and Vixie's cron require both fields to match; croner requires either.
    let star = "0 0 */2 * FRI";
    assert_eq!(ours(star, after, 2)[0].to_string(), "2026-02-13T00:00:00Z");
    assert_eq!(
        theirs(&unix().parse(star).unwrap(), after, 2)[0].to_string(),
        "2026-02-03T00:00:00Z"
    );
    // From Thursday on in steps of three: ours fires on Thursday, croner also on Sunday.
    let step = "0 0 * * 4/3";
    assert_eq!(ours(step, after, 1)[0].to_string(), "2026-02-05T00:00:00Z");
    let on_sunday = "2026-02-08T00:00:00Z";
    assert!(
        !ours(step, after, 2)
            .iter()
            .any(|at| at.to_string() == on_sunday)
    );
    assert!(
        theirs(&unix().parse(step).unwrap(), after, 2)
            .iter()
            .any(|at| at.to_string() == on_sunday)
    );
    // Ours and AWS accept ranges that wrap around; croner does not.
    assert!(croner::Cron::from_str("0 0 * * FRI-MON").is_err());
    assert_eq!(
        ours("0 0 * * FRI-MON", after, 1)[0].to_string(),
        "2026-02-02T00:00:00Z"
    );
}
