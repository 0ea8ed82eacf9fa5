//! The examples in `config/examples/`: each loads, and its edges are those that its comments describe.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use curfew_core::configuration::RawScheduleSet;
use curfew_core::instance::Region;
use curfew_core::schedule_set::ScheduleSet;
use curfew_core::timetable::Edge;
use jiff::Timestamp;
use serde_json::Value;

const NAMES: [&str; 8] = [
    "demo",
    "follow-the-sun",
    "lab-with-holidays",
    "month-end-batch",
    "night-stop",
    "organisation",
    "two-offices",
    "weekends-off",
];

fn directory() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/examples")
}

fn text(name: &str) -> String {
    std::fs::read_to_string(directory().join(format!("{name}.toml"))).unwrap()
}

/// Parses the schedules of an example, without the tables of the daemon.
fn schedule_set(name: &str) -> ScheduleSet {
    let mut table: toml::Table = text(name).parse().unwrap();
    table.retain(|key, _| ["managing", "schedules", "account"].contains(&key));
    let raw: RawScheduleSet = table.try_into().unwrap();
    raw.resolve().unwrap()
}

/// Returns the next edges of one schedule after `from`, in its time zone.
fn next(name: &str, schedule: &str, from: &str, count: usize) -> String {
    let timetable = &schedule_set(name).schedules[schedule].timetable;
    let from: Timestamp = from.parse().unwrap();
    let mut lines = String::new();
    for Edge { at, action } in timetable.edges(from).take(count) {
        let local = at.to_zoned(timetable.time_zone().clone());
        let _ = writeln!(
            lines,
            "{action:5} {}",
            local.strftime("%a %Y-%m-%d %H:%M %Z")
        );
    }
    lines
}

#[test]
fn organisation_manages_five_regions_in_three_accounts() {
    let table: toml::Table = text("organisation").parse().unwrap();
    let raw: RawScheduleSet = table.try_into().unwrap();
    let targets = raw.targets().unwrap();
    let account_regions = targets.account_regions(&Region::new("eu-west-1"));
    let account_regions: Vec<String> = account_regions.iter().map(ToString::to_string).collect();
    let expected = [
        "eu-west-3",
        "us-east-1",
        "eu-west-3 of account 111122223333",
        "eu-central-1 of account 111122223333",
        "us-west-2 of account 444455556666",
    ];
    assert_eq!(account_regions, expected);
}

/// Monday, 01:00 in Paris, which is Sunday evening in New York.
const NOW: &str = "2026-11-23T00:00:00Z";

#[test]
fn every_example_is_tested_here() {
    let files: BTreeSet<String> = std::fs::read_dir(directory())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(files, NAMES.map(|name| format!("{name}.toml")).into());
}

#[test]
fn every_example_names_the_schema_which_has_every_key() {
    let schema: Value =
        serde_json::from_str(include_str!("../../../../config/curfew.schema.json")).unwrap();
    for name in NAMES {
        let text = text(name);
        assert!(
            text.starts_with("#:schema ../curfew.schema.json\n"),
            "{name}"
        );
        let table: toml::Table = text.parse().unwrap();
        known(&toml::Value::Table(table), &schema, &schema, name);
    }
}

/// Asserts that `schema` has a definition of every key in `value`.
fn known(value: &toml::Value, schema: &Value, root: &Value, path: &str) {
    let schema = [schema, &schema["allOf"][0]]
        .into_iter()
        .find_map(|schema| schema["$ref"].as_str())
        .map_or(schema, |reference| {
            root.pointer(reference.trim_start_matches('#')).unwrap()
        });
    match value {
        toml::Value::Table(table) => {
            for (key, value) in table {
                let path = format!("{path}.{key}");
                let others = schema
                    .get("additionalProperties")
                    .filter(|it| it.is_object());
                let below = schema["properties"].get(key).or(others);
                let below = below.unwrap_or_else(|| panic!("{path} is not in the schema"));
                known(value, below, root, &path);
            }
        }
        toml::Value::Array(account_regions) if schema.get("items").is_some() => {
            for account_region in account_regions {
                known(account_region, &schema["items"], root, path);
            }
        }
        _ => {}
    }
}

#[test]
fn two_offices_are_one_run_from_bangalores_morning_to_pariss_evening() {
    insta::assert_snapshot!(next("two-offices", "staging", NOW, 4), @r"
    start Mon 2026-11-23 04:30 CET
    stop  Mon 2026-11-23 19:00 CET
    start Tue 2026-11-24 04:30 CET
    stop  Tue 2026-11-24 19:00 CET
    ");
    // In summer the difference between Paris and Bangalore is an hour less.
    insta::assert_snapshot!(next("two-offices", "staging", "2026-06-22T00:00:00Z", 2), @r"
    start Mon 2026-06-22 05:30 CEST
    stop  Mon 2026-06-22 19:00 CEST
    ");
    // A holiday in Paris, but not in Bangalore.
    insta::assert_snapshot!(next("two-offices", "staging", "2026-12-25T00:00:00Z", 2), @r"
    start Fri 2026-12-25 04:30 CET
    stop  Fri 2026-12-25 15:00 CET
    ");
}

#[test]
fn a_night_stop_never_starts_anything() {
    insta::assert_snapshot!(next("night-stop", "night-stop", NOW, 3), @r"
    stop  Sun 2026-11-22 21:00 EST
    stop  Mon 2026-11-23 21:00 EST
    stop  Tue 2026-11-24 21:00 EST
    ");
    insta::assert_snapshot!(next("night-stop", "night-stop-twice", NOW, 4), @r"
    stop  Sun 2026-11-22 21:00 EST
    stop  Mon 2026-11-23 02:00 EST
    stop  Mon 2026-11-23 21:00 EST
    stop  Tue 2026-11-24 02:00 EST
    ");
}

#[test]
fn weekends_off_is_one_run_a_week_and_none_between_christmas_and_new_year() {
    insta::assert_snapshot!(next("weekends-off", "weekends-off", NOW, 4), @r"
    start Mon 2026-11-23 06:00 CET
    stop  Fri 2026-11-27 20:00 CET
    start Mon 2026-11-30 06:00 CET
    stop  Fri 2026-12-04 20:00 CET
    ");
    insta::assert_snapshot!(next("weekends-off", "weekends-off", "2026-12-20T00:00:00Z", 5), @r"
    start Mon 2026-12-21 06:00 CET
    stop  Thu 2026-12-24 00:00 CET
    stop  Fri 2026-12-25 20:00 CET
    stop  Fri 2027-01-01 20:00 CET
    start Mon 2027-01-04 06:00 CET
    ");
}

#[test]
fn the_batch_runs_overnight_on_the_last_working_day() {
    insta::assert_snapshot!(next("month-end-batch", "month-end", NOW, 8), @r"
    start Mon 2026-11-30 22:00 GMT
    stop  Tue 2026-12-01 06:00 GMT
    start Thu 2026-12-31 16:00 GMT
    stop  Fri 2027-01-01 06:00 GMT
    start Fri 2027-01-29 22:00 GMT
    stop  Sat 2027-01-30 06:00 GMT
    start Fri 2027-02-26 22:00 GMT
    stop  Sat 2027-02-27 06:00 GMT
    ");
}

#[test]
fn follow_the_sun_has_a_gap_of_an_hour_only_in_winter() {
    insta::assert_snapshot!(next("follow-the-sun", "tickets", NOW, 6), @r"
    stop  Mon 2026-11-23 17:00 AEDT
    start Mon 2026-11-23 18:00 AEDT
    stop  Tue 2026-11-24 17:00 AEDT
    start Tue 2026-11-24 18:00 AEDT
    stop  Wed 2026-11-25 17:00 AEDT
    start Wed 2026-11-25 18:00 AEDT
    ");
    insta::assert_snapshot!(next("follow-the-sun", "tickets", "2026-07-05T00:00:00Z", 3), @r"
    start Mon 2026-07-06 08:00 AEST
    stop  Sat 2026-07-11 09:00 AEST
    start Mon 2026-07-13 08:00 AEST
    ");
    insta::assert_snapshot!(next("follow-the-sun", "sydney", NOW, 2), @r"
    stop  Mon 2026-11-23 17:00 AEDT
    start Tue 2026-11-24 08:00 AEDT
    ");
}

#[test]
fn the_lab_is_open_late_and_closed_on_holidays() {
    insta::assert_snapshot!(next("lab-with-holidays", "lab", "2026-12-03T00:00:00Z", 8), @r"
    start Thu 2026-12-03 09:00 CET
    stop  Fri 2026-12-04 01:00 CET
    start Fri 2026-12-04 09:00 CET
    stop  Fri 2026-12-04 18:00 CET
    start Mon 2026-12-07 09:00 CET
    stop  Tue 2026-12-08 00:00 CET
    stop  Tue 2026-12-08 01:00 CET
    stop  Wed 2026-12-09 01:00 CET
    ");
    insta::assert_snapshot!(next("lab-with-holidays", "lab", "2026-12-23T00:00:00Z", 4), @r"
    start Wed 2026-12-23 09:00 CET
    stop  Thu 2026-12-24 00:00 CET
    stop  Thu 2026-12-24 01:00 CET
    stop  Fri 2026-12-25 01:00 CET
    ");
    insta::assert_snapshot!(next("lab-with-holidays", "lab", "2027-06-30T00:00:00Z", 4), @r"
    start Wed 2027-06-30 09:00 CEST
    stop  Thu 2027-07-01 00:00 CEST
    stop  Thu 2027-07-01 01:00 CEST
    stop  Fri 2027-07-02 01:00 CEST
    ");
}

#[test]
fn the_demo_has_three_schedules() {
    insta::assert_snapshot!(next("demo", "office", NOW, 2), @r"
    start Mon 2026-11-23 08:00 CET
    stop  Mon 2026-11-23 20:00 CET
    ");
    insta::assert_snapshot!(next("demo", "night-stop", NOW, 2), @r"
    stop  Mon 2026-11-23 20:00 CET
    stop  Tue 2026-11-24 20:00 CET
    ");
    insta::assert_snapshot!(next("demo", "lab", NOW, 2), @r"
    start Mon 2026-11-23 09:00 CET
    stop  Tue 2026-11-24 01:00 CET
    ");
}
