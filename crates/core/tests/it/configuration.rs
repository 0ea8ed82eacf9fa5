//! The part of the configuration on which decisions depend: valid values are converted, and every problem is reported.

use curfew_core::configuration::{RawScheduleSet, duration};
use curfew_core::instance::InstanceType;
use curfew_core::schedule::{Adopt, Enforcement, Schedule, StopBy};
use curfew_core::schedule_set::ScheduleSet;
use curfew_core::timetable::Desired;
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

fn raw(text: &str) -> RawScheduleSet {
    toml::from_str(text).unwrap()
}

fn resolved(text: &str) -> ScheduleSet {
    raw(text).resolve().unwrap()
}

fn problems(text: &str) -> Vec<String> {
    let problems = raw(text).resolve().unwrap_err();
    problems.iter().map(ToString::to_string).collect()
}

/// Returns the configuration of a schedule with one additional line.
fn office_with(line: &str) -> String {
    format!("[schedules.office]\ntimezone = \"Europe/Paris\"\nrunning = \"08:00-20:00\"\n{line}")
}

#[test]
fn missing_keys_have_their_defaults() {
    let schedule_set = resolved(&office_with(""));
    assert_eq!(schedule_set.tag, "Schedule");
    let office = &schedule_set.schedules["office"];
    assert_eq!(
        *office,
        Schedule::new("office".parse().unwrap(), office.timetable.clone())
    );
    assert_eq!(office.enforcement, Enforcement::OncePerEdge);
    assert_eq!(office.catch_up, SignedDuration::from_hours(24));
    assert_eq!(office.adopt, Adopt::NextEdge);
}

#[test]
fn every_key_is_converted() {
    let schedule_set = resolved(
        r#"
        [managing]
        tag = " Hours "

        [schedules.office]
        timezone = "Europe/Paris"
        running = "Mon-Fri 08:00-20:00"
        enforce = true
        catch_up = "1d 6h"
        adopt = "converge"
        hibernate = true
        fallback_types = ["m5a.large", "m6i.large"]
        match = { ids = ["i-0abc1234"], tags = { Environment = "dev*" } }
        "#,
    );
    assert_eq!(schedule_set.tag, "Hours");
    let office = &schedule_set.schedules["office"];
    assert_eq!(office.enforcement, Enforcement::Enforced);
    assert_eq!(office.catch_up, SignedDuration::from_hours(30));
    assert_eq!(office.adopt, Adopt::Converge);
    assert_eq!(office.stop_by, StopBy::Hibernating);
    let fallbacks: Vec<&str> = office
        .fallback_types
        .iter()
        .map(InstanceType::as_str)
        .collect();
    assert_eq!(fallbacks, ["m5a.large", "m6i.large"], "in their order");
    assert_eq!(office.matcher.ids[0].as_str(), "i-0abc1234");
    assert_eq!(office.matcher.tags["Environment"].as_str(), "dev*");
}

#[test]
fn all_problems_are_reported() {
    assert_eq!(
        problems(
            r#"
            [managing]
            tag = ""

            [schedules."bad name"]
            timezone = "Europe/Pariss"
            running = "08:00-20:00"

            [schedules.lab]
            timezone = "Europe/Paris"
            running = "08:00-20:00"
            catch_up = "soon"
            match = { ids = ["i-0abc1234", "i-1", "web"] }
            "#
        ),
        [
            "`managing.tag`: a tag's key has 1 to 128 characters",
            "`schedules.bad name.timezone`: `Europe/Pariss` is not an IANA time zone; did you mean `Europe/Paris`?",
            "`schedules.bad name`: `bad name` is not a schedule name: \
             1 to 32 letters, digits, `-` and `_`, beginning with a letter or digit",
            "`schedules.lab.catch_up`: `soon` is not a length of time such as `90m`, `24h` or `2d`",
            "`schedules.lab.match.ids[1]`: `i-1` is not an instance id: \
             `i-` and 8 or 17 hexadecimal digits, such as `i-0abc1234def567890`",
            "`schedules.lab.match.ids[2]`: `web` is not an instance id: \
             `i-` and 8 or 17 hexadecimal digits, such as `i-0abc1234def567890`",
        ]
    );
}

#[test]
fn members_of_auto_scaling_groups_can_no_longer_be_included() {
    assert_eq!(
        problems(&office_with("include_asg = true")),
        [
            "`schedules.office.include_asg`: a schedule does not act on members of Auto Scaling groups: \
             the group terminates a member that is stopped and launches another, and what was on it is lost; \
             remove the key (single members can be named in `match.ids`)"
        ]
    );
    // Documents of earlier versions contain `false` for every schedule.
    let earlier = raw(&office_with("include_asg = false"));
    assert!(earlier.resolve().is_ok());
    assert!(!earlier.to_json().contains("include_asg"));
}

#[test]
fn fallback_types_are_limited_distinct_and_well_formed() {
    assert_eq!(
        problems(&office_with(
            r#"fallback_types = ["m5a.large", "large", "m5a.large", "m6i.large "]"#
        )),
        [
            "`schedules.office.fallback_types[1]`: `large` is not an instance type: \
             a family and a size, such as `m5a.large`",
            "`schedules.office.fallback_types[2]`: `m5a.large` is listed twice",
            "`schedules.office.fallback_types[3]`: `m6i.large ` is not an instance type: \
             a family and a size, such as `m5a.large`",
        ]
    );
    let many = |count: usize| {
        let types: Vec<String> = (1..=count).map(|n| format!("\"m{n}.large\"")).collect();
        office_with(&format!("fallback_types = [{}]", types.join(", ")))
    };
    assert_eq!(
        resolved(&many(8)).schedules["office"].fallback_types.len(),
        8
    );
    assert_eq!(
        problems(&many(9)),
        ["`schedules.office.fallback_types`: 9 types are too many: at most 8"]
    );
}

#[test]
fn the_managing_tag_must_not_be_a_state_tag() {
    let key_of = |length: usize| {
        let tag = "é".repeat(length);
        format!("[managing]\ntag = \"{tag}\"")
    };
    assert_eq!(resolved(&key_of(128)).tag.chars().count(), 128);
    assert_eq!(
        problems(&key_of(129)),
        ["`managing.tag`: a tag's key has 1 to 128 characters"]
    );
    for tag in [
        "curfew:last",
        "curfew:override",
        "curfew:retry",
        "curfew:type",
    ] {
        assert_eq!(
            problems(&format!("[managing]\ntag = \"{tag}\"")),
            [format!(
                "`managing.tag`: `{tag}` is one of Curfew's state tags; name another tag"
            )]
        );
    }
}

#[test]
fn none_and_inline_are_reserved_names() {
    let named = |name: &str| office_with("").replace("office", name);
    for name in ["none", "None"] {
        assert_eq!(
            problems(&named(name)),
            [format!(
                "`schedules.{name}`: `{name}` can't name a schedule: in an instance's tag it means that no schedule manages it"
            )]
        );
    }
    assert_eq!(
        problems(&named("inline")),
        [
            "`schedules.inline`: `inline` is reserved for schedules in an instance's tag; choose another name"
        ]
    );
}

#[test]
fn the_catch_up_limit_is_positive_and_at_most_31_days() {
    for (text, hours) in [("1h", 1), ("31d", 744), ("744h", 744), ("1w", 168)] {
        assert_eq!(duration(text), Ok(SignedDuration::from_hours(hours)));
    }
    assert_eq!(duration(" 90m "), Ok(SignedDuration::from_mins(90)));
    for (text, complaint) in [
        ("0h", "`0h` is not a length of time: it must be positive"),
        ("-1h", "`-1h` is not a length of time: it must be positive"),
        ("31d 1s", "`31d 1s` is too long: at most 31 days (`31d`)"),
        (
            "1mo",
            "`1mo` is not a length of time such as `90m`, `24h` or `2d`",
        ),
        (
            "",
            "`` is not a length of time such as `90m`, `24h` or `2d`",
        ),
    ] {
        assert_eq!(
            problems(&office_with(&format!("catch_up = \"{text}\""))),
            [format!("`schedules.office.catch_up`: {complaint}")]
        );
    }
}

const TWO_OFFICES: &str = r#"
    [schedules.office-eu]
    timezone = "Europe/Paris"
    running = "Mon-Fri 08:00-20:00"

    [schedules.office-in]
    timezone = "Asia/Kolkata"
    running = "Mon-Fri 08:00-20:00"
"#;

#[test]
fn any_of_runs_when_any_member_runs() {
    let schedule_set = resolved(&format!(
        "{TWO_OFFICES}
        [schedules.any]
        any_of = [\"office-eu\", \"office-in\"]
        [schedules.again]
        any_of = [\"any\"]
        enforce = true"
    ));
    for name in ["any", "again"] {
        let desired = |at: &str| {
            let at: Timestamp = at.parse().unwrap();
            schedule_set.schedules[name].timetable.desired(at)
        };
        assert_eq!(desired("2026-11-23T02:29:59Z"), Desired::Stopped);
        assert_eq!(desired("2026-11-23T02:30:00Z"), Desired::Running, "India");
        assert_eq!(desired("2026-11-23T18:59:59Z"), Desired::Running, "Europe");
        assert_eq!(desired("2026-11-23T19:00:00Z"), Desired::Stopped);
    }
    assert_eq!(
        schedule_set.schedules["again"].enforcement,
        Enforcement::Enforced,
        "a combined schedule has its own policies"
    );
}

#[test]
fn an_unknown_member_is_reported_with_the_schedules_that_exist() {
    assert_eq!(
        problems(&format!(
            "{TWO_OFFICES}
            [schedules.any]
            any_of = [\"office-uk\", \"office-eu\", \"office-us\"]"
        )),
        [
            "`schedules.any.any_of[0]`: there is no schedule `office-uk`; there is `office-eu`, `office-in`",
            "`schedules.any.any_of[2]`: there is no schedule `office-us`; there is `office-eu`, `office-in`",
        ]
    );
    assert_eq!(
        problems("[schedules.any]\nany_of = [\"office\"]"),
        ["`schedules.any.any_of[0]`: there is no schedule `office`; there is no other schedule"]
    );
}

#[test]
fn a_cycle_is_reported_once() {
    assert_eq!(
        problems("[schedules.a]\nany_of = [\"a\"]"),
        ["`schedules.a.any_of[0]`: `a` is made of `a` itself; a schedule can't contain itself"]
    );
    assert_eq!(
        problems(&format!(
            "{TWO_OFFICES}
            [schedules.a]
            any_of = [\"b\"]
            [schedules.b]
            any_of = [\"office-eu\", \"c\"]
            [schedules.c]
            any_of = [\"a\"]"
        )),
        ["`schedules.c.any_of[0]`: `a` is made of `c` itself; a schedule can't contain itself"]
    );
}

#[test]
fn any_of_can_not_be_combined_and_an_invalid_member_is_reported_once() {
    assert_eq!(
        problems(
            r#"
            [schedules.broken]
            timezone = "Europe/Paris"
            running = "25:00"

            [schedules.one]
            any_of = ["broken"]

            [schedules.two]
            any_of = ["one", "broken", "mixed"]

            [schedules.mixed]
            timezone = "Europe/Paris"
            any_of = ["broken"]
            "#
        )
        .iter()
        .map(|problem| problem.split("`: ").next().unwrap())
        .collect::<Vec<_>>(),
        ["`schedules.broken.running", "`schedules.mixed.any_of"]
    );
}

#[test]
fn a_member_reached_on_many_paths_is_resolved_once() {
    // Each level names both schedules of the level below: 2^40 paths lead to the two offices.
    let levels: String = (1..40)
        .map(|level| {
            let below = level - 1;
            ["l", "r"]
                .map(|side| {
                    format!("[schedules.{side}{level}]\nany_of = [\"l{below}\", \"r{below}\"]\n")
                })
                .concat()
        })
        .collect();
    let schedule_set = resolved(&format!(
        "{TWO_OFFICES}
        [schedules.l0]
        any_of = [\"office-eu\"]
        [schedules.r0]
        any_of = [\"office-in\", \"office-eu\"]
        {levels}
        [schedules.both]
        any_of = [\"office-eu\", \"office-in\"]"
    ));
    assert_eq!(
        schedule_set.schedules["l39"].timetable,
        schedule_set.schedules["both"].timetable
    );
}

#[test]
fn unknown_keys_are_refused_at_every_level() {
    for (text, key) in [
        ("schedule = 1", "schedule"),
        ("[managing]\ntags = \"Hours\"", "tags"),
        (office_with("enforced = true").as_str(), "enforced"),
        (
            office_with("match = { tag = { Team = \"blue\" } }").as_str(),
            "tag",
        ),
        (
            office_with("[[schedules.office.window]]\nstart = \"09:00\"").as_str(),
            "start",
        ),
    ] {
        let error = toml::from_str::<RawScheduleSet>(text)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains(&format!("unknown field `{key}`")),
            "{text}: {error}"
        );
    }
    let error = RawScheduleSet::from_json(r#"{"schedulez":{}}"#).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("`configuration document`: unknown field `schedulez`"),
        "{error}"
    );
}

#[test]
fn the_document_has_the_same_values_as_the_file() {
    let text = r#"
        [managing]
        tag = "Hours"

        [schedules.lab]
        timezone = "Asia/Kolkata"
        start = "0 6 * * 1-5"
        stop = ["cron(0 20 ? * MON-FRI *)", "0 23 * * *"]
        except = ["12-25"]
        catch_up = "2d"
        adopt = "converge"
        hibernate = true
        fallback_types = ["m5a.large"]
        match = { tags = { Team = "blue", Tier = "?" } }

        [[schedules.lab.window]]
        days = "Sat"
        from = "09:00"

        [schedules.any]
        any_of = ["lab"]
        enforce = true
    "#;
    let raw = raw(text);
    let document = raw.to_json();
    let read = RawScheduleSet::from_json(&document).unwrap();
    assert_eq!(read, raw);
    assert_eq!(read.to_json(), document);
    assert_eq!(read.resolve(), raw.resolve());
    assert!(
        !document.contains("null") && !document.contains("\"only\""),
        "missing keys take no space in the parameter: {document}"
    );
}

proptest! {
    #[test]
    fn no_file_content_panics(
        name in "\\PC{0,40}",
        line in prop_oneof!["\\PC{0,30}", "[A-Za-z0-9:,;* -]{0,30}"],
        limit in "\\PC{0,12}",
        members in proptest::collection::vec("[abc]", 0..4),
        others in proptest::collection::vec("[abc]", 0..4),
    ) {
        let mut raw = RawScheduleSet::default();
        let schedule = raw.schedules.entry(name).or_default();
        schedule.timezone = Some("Europe/Paris".to_owned());
        schedule.catch_up = Some(limit);
        schedule.only.push(line);
        raw.schedules.entry("a".to_owned()).or_default().any_of = members;
        raw.schedules.entry("b".to_owned()).or_default().any_of = others;
        let problems = raw.resolve().unwrap_err();
        prop_assert!(problems.iter().all(|problem| !problem.message.is_empty()));
        prop_assert_eq!(RawScheduleSet::from_json(&raw.to_json()).unwrap(), raw);
    }
}
