//! Translates Instance Scheduler's schedules: its samples, its edge cases, and refusals.

use std::fmt::Write as _;

use curfew_core::configuration::RawScheduleSet;
use curfew_core::timetable::Desired;
use curfew_import::{Imported, instance_scheduler};
use proptest::prelude::*;
use serde_json::{Value, json};

fn imported(text: &str) -> Imported {
    let imported = instance_scheduler(text).unwrap_or_else(|problems| panic!("{problems:?}"));
    let raw: RawScheduleSet = toml::from_str(&imported.toml).unwrap();
    raw.resolve().unwrap();
    imported
}

fn problems(text: &str) -> String {
    let problems = instance_scheduler(text).expect_err(text);
    problems.iter().fold(String::new(), |mut all, problem| {
        let _ = writeln!(all, "{problem}");
        all
    })
}

/// The samples of the solution, as its command line prints them.
const SAMPLES: &str = r#"
{"Schedules": [
  {"Name": "uk-office-hours", "Type": "schedule", "Timezone": "Europe/London", "Periods": ["office-hours"],
   "Description": "Office hours in UK", "StopNewInstances": true, "RetainRunning": false, "Enforced": false,
   "Hibernate": false, "UseMaintenanceWindow": true},
  {"Name": "seattle-office-hours", "Type": "schedule", "Timezone": "America/Los_Angeles",
   "Description": "Office hours in Seattle (Pacific)", "Periods": ["office-hours"], "RetainRunning": true,
   "Hibernate": true, "StopNewInstances": false},
  {"Name": "running", "Type": "schedule", "OverrideStatus": "running", "UseMetrics": true},
  {"Name": "stopped", "Type": "schedule", "OverrideStatus": "stopped", "Enforced": true},
  {"Name": "scale-up-down", "Type": "schedule", "Timezone": "UTC",
   "Periods": ["weekends@t2.nano", "working-days@t2.micro"]}
]}
{"Periods": [
  {"Name": "office-hours", "Type": "period", "Begintime": "09:00", "Endtime": "17:00", "Weekdays": ["mon-fri"],
   "Description": "Office hours"},
  {"Name": "working-days", "Type": "period", "Weekdays": ["mon-fri"]},
  {"Name": "weekends", "Type": "period", "Weekdays": ["sat-sun"]},
  {"Name": "first-monday-in-quarter", "Type": "period", "Weekdays": ["mon#1"], "Months": ["jan/3"]}
]}"#;

#[test]
fn the_samples_of_the_solution() {
    let imported = imported(SAMPLES);
    insta::assert_snapshot!(imported.toml, @r#"
    # Imported from Instance Scheduler on AWS (`describe-periods`, `describe-schedules`) by `curfew import instance-scheduler`.
    # Both read an instance's schedule from its tag `Schedule`; if your stack's tag is another, set
    # `managing.tag`.
    # Clock changes: an edge happens once here. There, one in the hour that occurs twice happens twice.
    # Periods that no schedule here uses: `first-monday-in-quarter`.
    #
    # NOT TRANSLATED:
    # - `scale-up-down.periods`: period `weekends` changes instances to type `t2.nano`; Curfew does not
    # resize instances
    # - `scale-up-down.periods`: period `working-days` changes instances to type `t2.micro`; Curfew does
    # not resize instances

    # `use_metrics` is not translated: Curfew has its own metrics, for all schedules.
    # It has no time zone, so Instance Scheduler uses the stack's default, which is UTC unless
    # configured otherwise: check `timezone`.
    # `override_status`: the same state at all times; 0 periods are ignored.
    [schedules.running]
    timezone = "UTC"
    running = "00:00-24:00" # always
    adopt = "converge"

    # Office hours in Seattle (Pacific)
    # `stop_new_instances` is false: a new instance is not changed before its first edge. Instance
    # Scheduler would start it at once during a period.
    # `retain_running` is not translated: an instance that was started by hand before a period is
    # stopped at its end. To keep one running, set an override: `curfew start --for 12h`.
    [schedules.seattle-office-hours]
    timezone = "America/Los_Angeles"
    running = "Mon-Fri 09:00-17:00" # period office-hours: Office hours
    hibernate = true

    # It has no time zone, so Instance Scheduler uses the stack's default, which is UTC unless
    # configured otherwise: check `timezone`.
    # `override_status`: the same state at all times; 0 periods are ignored.
    [schedules.stopped]
    timezone = "UTC"
    running = "dates=30 months=Feb" # never: February has no 30th
    enforce = true
    adopt = "converge"

    # Office hours in UK
    [schedules.uk-office-hours]
    timezone = "Europe/London"
    running = "Mon-Fri 09:00-17:00" # period office-hours: Office hours
    adopt = "converge"
    "#);
    assert_eq!(imported.refused.len(), 2, "{:?}", imported.refused);
}

#[test]
fn one_object_with_both_and_any_spelling_of_the_keys_is_the_same() {
    let documents: Vec<Value> = serde_json::Deserializer::from_str(SAMPLES)
        .into_iter()
        .collect::<Result<_, _>>()
        .unwrap();
    let one = json!({"Periods": documents[1]["Periods"], "Schedules": documents[0]["Schedules"]});
    assert_eq!(imported(&one.to_string()), imported(SAMPLES));
    let snake = SAMPLES
        .replace("StopNewInstances", "stop_new_instances")
        .replace("Begintime", "begin_time");
    assert_eq!(imported(&snake), imported(SAMPLES));
}

#[test]
fn a_template_with_everything() {
    let template = r#"{"Parameters": {}, "Resources": {
      "Bucket": {"Type": "AWS::S3::Bucket"},
      "SampleSchedule": {"Type": "Custom::ServiceInstanceSchedule", "Condition": "IsDev", "Properties": {
        "ServiceToken": {"Ref": "ServiceToken"}, "NoStackPrefix": "False", "Name": "my-renamed-sample-schedule",
        "Description": "a full\nsample", "Timezone": "America/New_York", "Enforced": "True", "Hibernate": "True",
        "RetainRunning": "True", "StopNewInstances": "True", "UseMaintenanceWindow": "True",
        "SsmMaintenanceWindow": ["night", "patch"],
        "Periods": [
          {"Description": "the first 3 days of March", "BeginTime": "9:00", "EndTime": "17:00", "MonthDays": "1-3", "Months": 3},
          {"BeginTime": "14:00", "EndTime": "17:00", "WeekDays": "Sat-Sun"},
          {"BeginTime": "22:00", "EndTime": "6:00", "WeekDays": "FriL,Mon#1", "MonthDays": "15W,L"}
        ]}}}}"#;
    insta::assert_snapshot!(imported(template).toml, @r#"
    # Imported from Instance Scheduler on AWS (a CloudFormation template) by `curfew import instance-scheduler`.
    # Both read an instance's schedule from its tag `Schedule`; if your stack's tag is another, set
    # `managing.tag`.
    # Clock changes: an edge happens once here. There, one in the hour that occurs twice happens twice.

    # a full sample
    # Instance Scheduler prefixes this name with the stack's: the instances' tags are
    # `STACK-my-renamed-sample-schedule`. Rename the schedule, or change the tags.
    # The template creates it only under the condition `IsDev`.
    # `ssm_maintenance_window` is not translated: Instance Scheduler also starts instances during night,
    # patch. Curfew reads no maintenance windows: add lines to `running`.
    # Period `3` ends on the next day. Instance Scheduler refuses such a period; here it is one window.
    [schedules.my-renamed-sample-schedule]
    timezone = "America/New_York"
    running = [
        "dates=1-3 months=Mar 09:00-17:00", # period 1: the first 3 days of March
        "Sat,Sun 14:00-17:00", # period 2
        "FriL,Mon#1 dates=15W,L 22:00-06:00", # period 3
    ]
    enforce = true
    adopt = "converge"
    hibernate = true
    "#);
}

#[test]
fn an_override_holds_at_all_times() {
    for (status, wanted) in [("Running", Desired::Running), ("stopped", Desired::Stopped)] {
        let text = json!({"Schedules": [{"Name": "it", "OverrideStatus": status, "Periods": []}]})
            .to_string();
        let raw: RawScheduleSet = toml::from_str(&imported(&text).toml).unwrap();
        let it = raw.resolve().unwrap().schedules["it"].clone();
        for year in ["1999", "2024", "2026"] {
            assert_eq!(
                it.timetable
                    .desired(format!("{year}-02-28T12:00:00Z").parse().unwrap()),
                wanted
            );
        }
        assert_eq!(
            it.timetable
                .next_edge("2026-01-01T00:00:00Z".parse().unwrap()),
            None
        );
    }
}

#[test]
fn invalid_names_are_changed_with_a_note() {
    let long = "a-stack-with-a-very-long-name-office-hours";
    let schedules = [long, &format!("{long}-too"), "none", "büro zeiten"]
        .map(|name| json!({"Name": name, "OverrideStatus": "running"}));
    let toml = imported(&json!({"Schedules": schedules}).to_string()).toml;
    for name in [
        "[schedules.a-stack-with-a-very-long-name-of]",
        "[schedules.a-stack-with-a-very-long-name--2]",
        "[schedules.none-2]",
        "[schedules.b-ro-zeiten]",
    ] {
        assert!(toml.contains(name), "{name}: {toml}");
    }
    assert_eq!(
        toml.replace("\n# ", " ")
            .matches("change the instances' tags too")
            .count(),
        4
    );
}

#[test]
fn every_refusal_has_a_name_and_a_reason() {
    let text = json!({
        "Schedules": [
            {"Name": "zone", "Timezone": "Europe/Pariss", "Periods": ["good"]},
            {"Name": "gone", "Periods": ["missing", "bad"]},
            {"Name": "odd", "Colour": "red", "Enforced": "maybe", "OverrideStatus": "paused"},
            {"Name": "empty", "SsmMaintenanceWindow": ["night"]},
            {"Name": "dated", "Periods": ["dated", "good"]},
            {"Periods": ["good"]},
            "text",
        ],
        "Periods": [
            {"Name": "good", "Begintime": "09:00", "Endtime": "17:00"},
            {"Name": "bad", "Begintime": "24:00", "Endtime": {"Ref": "End"}, "Weekdays": "someday", "Monthdays": "20-5"},
            {"Name": "dated", "Begintime": "09:00", "Monthdays": "1-7"},
            {"Name": "never", "Begintime": "09:00", "Endtime": "09:00"},
            {"Name": "blank"},
        ],
    });
    insta::assert_snapshot!(problems(&text.to_string()), @r#"
    `odd.override_status`: is `paused`; allowed are `running` and `stopped`
    `odd.enforced`: is `maybe`; allowed are true and false
    `odd.Colour`: is not a property that can be translated
    `Schedules[5].name`: is missing
    `Schedules[6]`: is not an object with properties
    `Schedules[6].name`: is missing
    `periods.bad.begintime`: `24:00` is not a time of day, `00:00`–`23:59`
    `periods.bad.endtime`: is computed by CloudFormation (`Ref`); write the literal value
    `periods.bad.weekdays`: `someday` is not accepted by Instance Scheduler here
    `periods.bad.monthdays`: `20-5` runs backward, and days of the month do not wrap around
    `periods.never.endtime`: equals `begintime`, so the period is empty; omit both for a whole day
    `periods.blank.begintime`: is missing, and so are `endtime` and all day fields
    `gone.periods`: its period `bad` is refused
    `gone.periods`: its period `missing` is missing; add the output of `describe-periods`
    `empty`: has no periods, so there is nothing to translate
    `dated.periods`: `dated` with one time only, and `dated` with days of the month, months or weekdays such as `Mon#1`: crons can't express this combination; give every period both times
    `zone.timezone`: `Europe/Pariss` is not an IANA time zone; did you mean `Europe/Paris`?
    "#);
}

#[test]
fn other_documents_are_refused_with_a_hint() {
    for (text, why) in [
        ("", "is empty"),
        ("Resources:\n  X: 1", "none of type"),
        ("Resources: [", "is neither JSON nor YAML"),
        ("office-hours", "neither the output of"),
        ("{}", "neither the output of"),
        (
            r#"{"Resources": {"B": {"Type": "AWS::S3::Bucket"}}}"#,
            "none of type",
        ),
        (r#"{"Error": "not found"}"#, "not found"),
        (
            r#"{"Periods": [{"Name": "x", "Begintime": "9:00"}]}"#,
            "has no schedules",
        ),
    ] {
        let problems = problems(text);
        assert!(problems.contains(why), "{text}: {problems}");
    }
}

proptest! {
    #[test]
    fn no_text_panics(text in any::<String>()) {
        check(&text)?;
    }

    /// Documents of the right shape with arbitrary values.
    #[test]
    fn no_document_panics(
        name in any::<String>(), zone in "UTC|[a-zA-Z/\"\\\\]{0,12}", note in any::<String>(),
        days in "[a-zA-Z0-9#/,*LW-]{0,9}", dates in "[0-9LW/,*-]{0,9}", begin in "[0-9:]{0,5}",
    ) {
        let text = json!({
            "Schedules": [{"Name": name, "Timezone": zone, "Description": note, "Periods": [name]}],
            "Periods": [{"Name": name, "Weekdays": days, "Monthdays": dates, "Begintime": begin, "Endtime": "23:59", "Description": note}],
        });
        check(&text.to_string())?;
    }
}

fn check(text: &str) -> Result<(), TestCaseError> {
    if let Ok(imported) = instance_scheduler(text) {
        let raw: RawScheduleSet = toml::from_str(&imported.toml)
            .map_err(|error| TestCaseError::fail(format!("{error}\n{}", imported.toml)))?;
        prop_assert!(raw.resolve().is_ok(), "{}", imported.toml);
        prop_assert_eq!(instance_scheduler(text), Ok(imported));
    }
    Ok(())
}
