//! The syntax of crons, windows, dates and time zones: parsing, canonical output, error messages, and the absence of panics.

use curfew_core::timetable::{
    Cron, DateRule, Desired, Rate, RawTimetable, Timetable, Window, triggers,
};
use jiff::Timestamp;
use proptest::prelude::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn schedule(text: &str) -> Timetable {
    Timetable::parse_inline(text).unwrap_or_else(|problems| panic!("{text}: {problems:?}"))
}

fn cron_problem(text: &str) -> String {
    text.parse::<Cron>().expect_err(text)
}

/// Returns the next firings of a cron in UTC.
fn fires(cron: &str, after: &str, count: usize) -> Vec<String> {
    schedule(&format!("start {cron} UTC"))
        .edges(at(after))
        .take(count)
        .map(|edge| edge.at.strftime("%Y-%m-%d %H:%M").to_string())
        .collect()
}

#[test]
fn crons_have_a_canonical_form() {
    for (written, printed) in [
        ("0 20 * * 1-5", "0 20 * * MON-FRI"),
        ("*/15  9-17 *  jan,7 sun-7", "*/15 9-17 * 1,7 SUN-SAT"),
        ("5/15 20-2 1 * fri-MON", "5/15 20-2 1 * FRI-MON"),
        ("0 0 * * 5-7", "0 0 * * FRI-SUN"),
        ("0 0 * * 0-7", "0 0 * * SUN-SAT"),
        ("cron(0 20 ? * 2-6 *)", "cron(0 20 ? * MON-FRI *)"),
        (
            "cron( 0/10 8 l * ? 2026-2028/2 )",
            "cron(0/10 8 L * ? 2026-2028/2)",
        ),
        ("cron(0 8 15W,lw 1-6 ? *)", "cron(0 8 15W,LW 1-6 ? *)"),
        ("cron(0 8 ? * 6L *)", "cron(0 8 ? * FRIL *)"),
        ("cron(0 8 ? * L *)", "cron(0 8 ? * SAT *)"),
        ("cron(0 8 ? * monday#1 *)", "cron(0 8 ? * MON#1 *)"),
    ] {
        let cron: Cron = written
            .parse()
            .unwrap_or_else(|problem| panic!("{written}: {problem}"));
        assert_eq!(cron.to_string(), printed);
        assert_eq!(cron.to_string().parse::<Cron>().unwrap(), cron, "{printed}");
    }
}

#[test]
fn unix_crons_match_either_day_field_unless_one_begins_with_a_star() {
    // The 13th, and every Friday.
    assert_eq!(
        fires("0 0 13 * FRI", "2026-02-01T00:00:00Z", 5),
        [
            "2026-02-06 00:00",
            "2026-02-13 00:00",
            "2026-02-20 00:00",
            "2026-02-27 00:00",
            "2026-03-06 00:00"
        ],
    );
    // Odd days that are Fridays: `*/2` begins with a star.
    assert_eq!(
        fires("0 0 */2 * FRI", "2026-02-01T00:00:00Z", 3),
        ["2026-02-13 00:00", "2026-02-27 00:00", "2026-03-13 00:00"]
    );
}

#[test]
fn aws_special_characters_follow_the_user_guide() {
    // The last day of the month; the last weekday of the week; the last Friday; the second Tuesday.
    assert_eq!(
        fires("cron(0 0 L * ? *)", "2028-02-01T00:00:00Z", 2),
        ["2028-02-29 00:00", "2028-03-31 00:00"]
    );
    assert_eq!(
        fires("cron(0 0 ? * L *)", "2026-02-01T00:00:00Z", 2),
        ["2026-02-07 00:00", "2026-02-14 00:00"]
    );
    assert_eq!(
        fires("cron(0 0 ? * 6L *)", "2026-02-01T00:00:00Z", 2),
        ["2026-02-27 00:00", "2026-03-27 00:00"]
    );
    assert_eq!(
        fires("cron(0 0 ? * 3#2 *)", "2026-02-01T00:00:00Z", 2),
        ["2026-02-10 00:00", "2026-03-10 00:00"]
    );
    // The fifth Monday, in months that have one.
    assert_eq!(
        fires("cron(0 0 ? * MON#5 *)", "2026-02-01T00:00:00Z", 2),
        ["2026-03-30 00:00", "2026-06-29 00:00"]
    );
    // 2026-08-15 is a Saturday, 2026-11-15 a Sunday; the 1st of August 2026 is a Saturday, and `W` stays in its month.
    assert_eq!(
        fires("cron(0 0 15W 8,11 ? *)", "2026-02-01T00:00:00Z", 2),
        ["2026-08-14 00:00", "2026-11-16 00:00"]
    );
    assert_eq!(
        fires("cron(0 0 1W 8 ? *)", "2026-02-01T00:00:00Z", 1),
        ["2026-08-03 00:00"]
    );
    assert_eq!(
        fires("cron(0 0 LW 5 ? *)", "2026-02-01T00:00:00Z", 1),
        ["2026-05-29 00:00"]
    );
    // 1 is Sunday; ranges wrap around; hours too.
    assert_eq!(
        fires("cron(0 0 ? * 1 *)", "2026-02-02T00:00:00Z", 1),
        ["2026-02-08 00:00"]
    );
    assert_eq!(
        fires("cron(0 22-1/2 ? * FRI-SAT 2026)", "2026-02-06T00:30:00Z", 4),
        [
            "2026-02-06 22:00",
            "2026-02-07 00:00",
            "2026-02-07 22:00",
            "2026-02-13 00:00"
        ],
    );
}

#[test]
fn crons_that_aws_refuses_are_refused_with_a_reason() {
    for (text, reason) in [
        (
            "cron(0 20 * * MON-FRI)",
            "has 5 fields, and AWS's `cron()` takes six",
        ),
        ("cron(0 20 * * MON-FRI *)", "gives both day fields"),
        ("cron(0 20 1 * 2 *)", "gives both day fields"),
        ("cron(0 20 ? * ? *)", "`?` in both day fields"),
        (
            "cron(60 20 ? * * *)",
            "`60` is out of range for the minute: 0–59 are allowed",
        ),
        ("cron(0 24 ? * * *)", "`24` is out of range for the hour"),
        (
            "cron(0 20 ? * 0 *)",
            "`0` is out of range for the day of the week: 1–7 or SUN–SAT are allowed",
        ),
        ("cron(0 20 ? * 8 *)", "`8` is out of range"),
        (
            "cron(0 20 32 * ? *)",
            "`32` is out of range for the day of the month",
        ),
        ("cron(0 20 ? 13 * *)", "`13` is out of range for the month"),
        (
            "cron(0 20 ? * * 1969)",
            "`1969` is out of range for the year: 1970–2199 are allowed",
        ),
        ("cron(0 20 ? * * 2200)", "`2200` is out of range"),
        ("cron(0 20 ? * * 2030-2026)", "runs backward"),
        ("cron(0 20 ? * 3#1,6#3 *)", "single expression with `#`"),
        ("cron(0 20 ? * MON#6 *)", "1–5 after the `#`"),
        (
            "cron(0 20 L-3 * ? *)",
            "not something EventBridge documents",
        ),
        ("cron(0 20 W * ? *)", "needs one day before the `W`"),
        ("cron(0/0 20 ? * * *)", "`0` in `0/0` is not a step"),
        ("cron(? 20 ? * * *)", "`?` is not a minute"),
        ("cron(0 20 ? * * *", "no closing parenthesis"),
        (
            "0 20 * * 1-5 *",
            "six fields, which could be seconds first or a year last",
        ),
        ("0 20 * *", "has 4 fields"),
        ("0 20 L * *", "five-field cron does not have"),
        ("0 20 ? * MON", "uses `?`"),
        ("0 20 * * MON#1", "five-field cron does not have"),
        (
            "0 20 * * 8",
            "`8` is out of range for the day of the week: 0–7 or SUN–SAT are allowed",
        ),
        (
            "*/60 * * * *",
            "`60` in `*/60` is not a step for the minute: 1–59 are allowed",
        ),
        ("1,,2 * * * *", "a minute is missing"),
        ("@daily", "is a nickname"),
        ("rate(5 minutes)", "has no time of day"),
        ("", "has 0 fields"),
    ] {
        let problem = cron_problem(text);
        assert!(problem.contains(reason), "{text}: {problem}");
    }
    for (text, reason) in [
        ("rate(1 minutes)", "write `rate(1 minute)`"),
        ("rate(5 minute)", "write `rate(5 minutes)`"),
        ("rate(0 hours)", "at least 1"),
        ("rate(-1 hours)", "not a whole number"),
        ("rate(1.5 hours)", "not a whole number"),
        ("rate(5 weeks)", "`weeks` in `rate(5 weeks)` is not a unit"),
        ("rate(5)", "needs a number and a unit"),
        ("5 minutes", "write it like `rate(5 minutes)`"),
    ] {
        let problem = text.parse::<Rate>().expect_err(text);
        assert!(problem.contains(reason), "{text}: {problem}");
    }
}

#[test]
fn windows_have_a_canonical_form_and_ambiguous_ones_are_refused() {
    for (written, printed) in [
        ("mon-FRIDAY 8:00-20:00", "Mon-Fri 08:00-20:00"),
        ("Mon - Fri 08:00 - 20:00", "Mon-Fri 08:00-20:00"),
        ("Sat, Sun", "Sat,Sun 00:00-24:00"),
        ("Mon#1 22:00-06:00", "Mon#1 22:00-06:00"),
        ("FriL 22:00-00:00", "FriL 22:00-24:00"),
        (
            "dates=1-7,L,15w months=nov-2 09:00-",
            "dates=1-7,L,15W months=Nov-Feb 09:00-24:00",
        ),
        ("-06:30", "00:00-06:30"),
        ("*/2 10:00-11:00", "days=*/2 10:00-11:00"),
        ("Fri 20:00-Mon 06:00", "Fri 20:00-Mon 06:00"),
        ("fri 20:00 - MONDAY 6:00", "Fri 20:00-Mon 06:00"),
        (
            "FriL months=Jan 20:00-Sun 24:00",
            "FriL months=Jan 20:00-Sun 24:00",
        ),
        ("Fri 20:00-Mon 00:00", "Fri 20:00-Sun 24:00"),
        ("Fri 20:00-Sat 06:00", "Fri 20:00-06:00"),
        ("Fri 08:00-Sat 08:00", "Fri 08:00-Sat 08:00"),
        ("Fri 08:00-Fri 20:00", "Fri 08:00-20:00"),
        ("Mon 08:00-Mon 06:00", "Mon 08:00-Mon 06:00"),
        ("Sat -Mon 06:00", "Sat 00:00-Mon 06:00"),
    ] {
        let window: Window = written
            .parse()
            .unwrap_or_else(|problem| panic!("{written}: {problem}"));
        assert_eq!(window.to_string(), printed);
        assert_eq!(
            window.to_string().parse::<Window>().unwrap(),
            window,
            "{printed}"
        );
    }
    for (text, reason) in [
        ("", "is empty"),
        ("Mon-Fri 9-17", "could be hours or days"),
        ("1-5 09:00-17:00", "could be hours or days"),
        (
            "days=1-5 09:00-17:00",
            "which Unix and AWS count differently",
        ),
        ("Mon-Fri 09:00", "is one time"),
        ("Mon-Fri 09:00-09:00", "empty or a whole day"),
        ("Mon-Fri 24:00-09:00", "`24:00` is the end of a day"),
        ("Mon-Fri 09:00-24:01", "`24:01` is not a time of day"),
        ("Mon-Fri 9h-17h", "could be hours or days"),
        ("Mon-Fri 9:00am-17:00", "`9:00am` is not a time of day"),
        (
            "weekdays 09:00-17:00",
            "`weekdays` is not a day of the week; write `Mon`–`Sun`",
        ),
        ("Mon 09:00-17:00 Tue", "the same kind of thing twice"),
        ("Mon-Fri 20:00-Sun 06:00", "begins on one named day"),
        ("dates=1 20:00-Sun 06:00", "begins on one named day"),
        ("Fri 20:00-Fri 20:00", "empty or a whole week"),
        (
            "Fri 20:00-Someday 06:00",
            "`Someday` is not a day of the week",
        ),
        ("Fri 20:00-Mon", "`Mon` is not a time of day"),
    ] {
        let problem = text.parse::<Window>().expect_err(text);
        assert!(problem.contains(reason), "{text}: {problem}");
    }
}

#[test]
fn impossible_dates_are_refused() {
    for (text, reason) in [
        ("2026-02-30", "that month has no such day"),
        ("02-30", "that month has no such day"),
        ("13-01", "that month has no such day"),
        ("2026-05-03..2026-05-01", "runs backward"),
        ("2026-05-01..05-03", "has a year on one side only"),
        ("1969-01-01", "years 1970–2199 are allowed"),
        ("1.5.2026", "is not a date"),
        ("2026-5-1", "is not a date"),
        ("", "is not a date"),
    ] {
        let problem = text.parse::<DateRule>().expect_err(text);
        assert!(problem.contains(reason), "{text}: {problem}");
    }
    let leap = schedule("00:00-24:00; only 02-29 UTC");
    assert_eq!(
        leap.next_edge(at("2026-01-01T00:00:00Z")).unwrap().at,
        at("2028-02-29T00:00:00Z")
    );
}

#[test]
fn similar_time_zones_are_suggested() {
    let problem = |name: &str| {
        Timetable::parse_inline(&format!("Mon 08:00-20:00 {name}")).unwrap_err()[0]
            .message
            .clone()
    };
    assert_eq!(
        problem("Europe/Pariss"),
        "`Europe/Pariss` is not an IANA time zone; did you mean `Europe/Paris`?"
    );
    assert_eq!(
        problem("paris"),
        "`paris` is not an IANA time zone; did you mean `Europe/Paris`?"
    );
    assert_eq!(
        problem("America/NewYork"),
        "`America/NewYork` is not an IANA time zone; did you mean `America/New_York`?"
    );
    assert_eq!(
        problem("Asia/Calcuta"),
        "`Asia/Calcuta` is not an IANA time zone; did you mean `Asia/Calcutta`?"
    );
    assert!(problem("UTC+2").contains("is an offset, which has no daylight saving rules"));
    assert!(
        problem("Xyzzyplugh").ends_with("write one such as `Europe/Paris` or `America/New_York`")
    );
    assert_eq!(
        schedule("Mon 08:00-20:00 europe/paris").to_string(),
        "Mon 08:00-20:00 Europe/Paris"
    );
}

#[test]
fn all_problems_of_a_schedule_are_reported() {
    let raw: RawTimetable = toml::from_str(
        r#"
        start   = ["0 8 * * 1-5", "0 25 * * *"]
        stop    = "cron(0 20 * * *)"
        except  = ["2026-02-30"]
        only    = ["xmas"]
        running = "Mon-Fri 08:00-20:00 Europe/Paris"
        [[window]]
        days = "Mo"
        from = "8"
        to = "25:00"
        "#,
    )
    .unwrap();
    let keys: Vec<_> = raw
        .resolve("schedules.office")
        .unwrap_err()
        .into_iter()
        .map(|problem| problem.key)
        .collect();
    assert_eq!(
        keys,
        [
            "schedules.office.timezone",
            "schedules.office.start[1]",
            "schedules.office.stop",
            "schedules.office.running",
            "schedules.office.window[0].days",
            "schedules.office.window[0].from",
            "schedules.office.window[0].to",
            "schedules.office.except[0]",
            "schedules.office.only[0]",
        ],
    );
    let problem = |text: &str| {
        toml::from_str::<RawTimetable>(text)
            .unwrap()
            .resolve("s")
            .unwrap_err()[0]
            .to_string()
    };
    assert!(problem("timezone = 'UTC'").contains("the schedule has no edges"));
    assert!(
        problem("any_of = ['a', 'b']").starts_with("`s.any_of`: `any_of` names other schedules")
    );
    assert!(
        problem("any_of = ['a', 'b']\ntimezone = 'UTC'")
            .starts_with("`s.any_of`: `any_of` can't be combined")
    );
    assert!(
        toml::from_str::<RawTimetable>("timezne = 'UTC'").is_err(),
        "unknown keys are refused"
    );
}

#[test]
fn the_search_ends_for_crons_that_never_fire() {
    let never = schedule("start 0 0 30 2 *; stop cron(0 0 31 4,6,9,11 ? *) UTC");
    assert_eq!(never.next_edge(at("2026-01-01T00:00:00Z")), None);
    assert_eq!(never.last_edge(at("2026-01-01T00:00:00Z")), None);
    assert_eq!(
        never.desired(at("2026-01-01T00:00:00Z")),
        Desired::Unmanaged
    );
    // Leap days on a Monday are 28 years apart, or 40.
    assert_eq!(
        fires("cron(0 0 29 2 ? *)", "2096-03-01T00:00:00Z", 1),
        ["2104-02-29 00:00"]
    );
    assert_eq!(
        fires("0 0 29 2 *", "2199-01-01T00:00:00Z", 1),
        Vec::<String>::new()
    );
}

#[test]
fn the_desired_state_has_a_reason() {
    let because = |text: &str, instant: &str| schedule(text).reason(at(instant));
    let office = "Mon-Fri 08:00-20:00; except 12-25; only 2026-01-01..2026-12-31 Europe/Paris";
    assert_eq!(
        because(office, "2026-11-23T12:00:00Z"),
        "inside the window `Mon-Fri 08:00-20:00` in Europe/Paris"
    );
    assert_eq!(
        because(office, "2026-11-22T12:00:00Z"),
        "outside `Mon-Fri 08:00-20:00` since Fri 20 Nov 20:00 CET"
    );
    assert_eq!(
        because(office, "2027-01-04T12:00:00Z"),
        "Mon 4 Jan is not among the only dates (`2026-01-01..2026-12-31`): nothing starts on that day in Europe/Paris"
    );
    let crons = "start 0 8 * * 1-5; stop 0 20 * * *; except 2026-11-24 Europe/Paris";
    assert_eq!(
        because(crons, "2026-11-23T12:00:00Z"),
        "last edge: start at Mon 23 Nov 08:00 CET (`0 8 * * MON-FRI`)"
    );
    assert_eq!(
        because(crons, "2026-11-23T22:00:00Z"),
        "last edge: stop at Mon 23 Nov 20:00 CET (`0 20 * * *`)"
    );
    let one_sided = "stop 0 20 * * * Europe/Paris";
    assert_eq!(
        because(one_sided, "2026-11-23T12:00:00Z"),
        "it has only stop edges and no desired state between them; the last edge was at Sun 22 Nov 20:00 CET"
    );
}

fn soup() -> impl Strategy<Value = String> {
    let words = proptest::sample::select(vec![
        "Mon",
        "Fri",
        "-",
        ",",
        "08:00",
        "24:00",
        " ",
        "  ",
        ";",
        "cron(",
        ")",
        "?",
        "*",
        "/",
        "#",
        "L",
        "W",
        "LW",
        "1",
        "31",
        "0",
        "2026",
        "..",
        "12-25",
        "start",
        "stop",
        "except",
        "only",
        "dates=",
        "months=",
        "days=",
        "Europe/Paris",
        "UTC",
        "rate(",
        "minutes",
        "99999999999",
        "é",
        "–",
        "\u{0}",
    ]);
    prop_oneof![
        ".{0,60}",
        proptest::collection::vec(words, 0..14).prop_map(|words| words.concat())
    ]
}

fn any_instant() -> impl Strategy<Value = Timestamp> {
    (Timestamp::MIN.as_second()..=Timestamp::MAX.as_second())
        .prop_map(|second| Timestamp::from_second(second).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases * 8, ..ProptestConfig::default() })]

    #[test]
    fn no_text_panics(text in soup(), instant in any_instant()) {
        let _ = text.parse::<Rate>();
        let _ = text.parse::<DateRule>();
        let _ = text.parse::<Window>();
        if let Ok(cron) = text.parse::<Cron>() {
            prop_assert_eq!(cron.to_string().parse::<Cron>(), Ok(cron));
        }
        for text in [text.clone(), format!("{text} Europe/Paris"), format!("start {text} UTC")] {
            if let Ok(timetable) = Timetable::parse_inline(&text) {
                let again = Timetable::parse_inline(&timetable.to_string());
                prop_assert_eq!(again.as_ref(), Ok(&timetable), "{}", text);
                for instant in [instant, Timestamp::MIN, Timestamp::MAX] {
                    timetable.next_edge(instant);
                    timetable.last_edge(instant);
                    timetable.reason(instant);
                    triggers([&timetable], instant);
                }
            }
        }
    }
}
