//! Translates Cloud Custodian's policies. No policy becomes a start or a stop that Cloud Custodian does not make: every
//! key is translated, kept as a comment, or refused by name, and each has a test.

use curfew_core::configuration::{RawSchedule, RawScheduleSet};
use curfew_core::timetable::{Action, Timetable};
use curfew_import::{Imported, custodian};
use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};

fn imported(policies: &Value) -> Imported {
    let imported =
        custodian(&policies.to_string()).unwrap_or_else(|problems| panic!("{problems:?}"));
    configuration(&imported).resolve().unwrap();
    imported
}

fn configuration(imported: &Imported) -> RawScheduleSet {
    toml::from_str(&imported.toml).unwrap()
}

fn schedule(policies: &Value, name: &str) -> RawSchedule {
    configuration(&imported(policies)).schedules[name].clone()
}

fn timetable(policies: &Value, name: &str) -> Timetable {
    let schedule_set = configuration(&imported(policies)).resolve().unwrap();
    schedule_set.schedules[name].timetable.clone()
}

fn problems(policies: &Value) -> String {
    let text = policies.to_string();
    let problems = custodian(&text).expect_err(&text);
    let lines: Vec<_> = problems.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

fn refused(imported: &Imported) -> String {
    let lines: Vec<_> = imported.refused.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

/// A policy that can be translated, with `more` merged into its keys.
fn stopping(more: Value) -> Value {
    let mut policy = json!({
        "name": "night", "resource": "ec2",
        "filters": [{"type": "offhour", "default_tz": "et", "offhour": 19}],
        "actions": ["stop"],
    });
    over(&mut policy, more);
    policy
}

fn starting(more: Value) -> Value {
    let mut policy = json!({
        "name": "morning", "resource": "aws.ec2",
        "filters": [{"type": "onhour", "default_tz": "et", "onhour": 7}],
        "actions": ["start"],
    });
    over(&mut policy, more);
    policy
}

fn over(policy: &mut Value, more: Value) {
    let Value::Object(more) = more else {
        panic!("keys and values: {more}");
    };
    for (key, value) in more {
        policy[key] = value;
    }
}

/// The policy with `more` merged into its filter's keys.
fn filtering(mut policy: Value, more: Value) -> Value {
    over(&mut policy["filters"][0], more);
    policy
}

#[test]
fn a_policy_is_translated_with_its_defaults() {
    let off = json!({"type": "offhour", "tag": "downtime", "default_tz": "et", "offhour": 20, "weekends": false, "opt-out": true});
    let on = json!({"type": "onhour", "tag": "Downtime", "default_tz": "et", "onhour": 8, "skip-days": ["2026-12-25"]});
    let policies = json!({"vars": {"tz": "et"}, "policies": [
        stopping(json!({"filters": [off], "description": "Lights out."})),
        starting(json!({"filters": [{"and": [on]}]})),
    ]});
    insta::assert_snapshot!(imported(&policies).toml, @r#"
    # Imported from Cloud Custodian's off-hours by `curfew import custodian`.
    # Clock changes: an hour that occurs twice acts twice there, and one that is skipped not at all;
    # here every edge happens once. An edge that an outage missed is lost there, and caught up here.

    # For instances whose tag `downtime` is empty or `on`: give them the tag `Schedule = downtime`.
    # Other values of the tag are schedules of their own; `curfew import custodian VALUE` translates
    # one.
    # `opt-out`: the policy takes every instance without the tag. Here a schedule selects instances by
    # its `match`; add one.
    # Policy `night`: Lights out.
    # As an instance's own tag, without a config file: `Schedule = start 0 8 * * MON-FRI; stop 0 20 * * *; except 2026-12-25 America/New_York`
    [schedules.downtime]
    timezone = "America/New_York"
    start = "0 8 * * MON-FRI"
    stop = "0 20 * * *"
    except = ["2026-12-25"]
    "#);
}

#[test]
fn a_policy_that_only_notifies_is_no_stop() {
    let policy =
        serde_json::from_str(include_str!("../documents/custodian-notify-only.json")).unwrap();
    insta::assert_snapshot!(problems(&policy), @r"
    `s.actions.notify`: is not translated: notifications are configured once, in `[[notify]]`
    `s.actions`: has no `stop`, so Cloud Custodian does not stop the instances that its `offhour` filter selects
    ");
}

#[test]
fn hibernation_is_kept() {
    let policy =
        serde_json::from_str(include_str!("../documents/custodian-hibernate.json")).unwrap();
    insta::assert_snapshot!(imported(&policy).toml, @r#"
    # Imported from Cloud Custodian's off-hours by `curfew import custodian`.
    # Clock changes: an hour that occurs twice acts twice there, and one that is skipped not at all;
    # here every edge happens once. An edge that an outage missed is lost there, and caught up here.

    # For instances whose tag `maid_offhours` is empty or `on`: give them the tag `Schedule = maid_offhours`.
    # Other values of the tag are schedules of their own; `curfew import custodian VALUE` translates
    # one.
    # Policy `s`: `force` disables stop protection first. Curfew leaves a protected instance running and
    # reports it.
    [schedules.maid_offhours]
    timezone = "America/New_York"
    stop = "0 19 * * MON-FRI"
    hibernate = true
    "#);
}

#[test]
fn no_other_action_becomes_a_start_or_a_stop() {
    for action in [
        "reboot",
        "terminate",
        "resize",
        "mark-for-op",
        "tag",
        "snapshot",
        "invoke-lambda",
        "set-monitoring",
    ] {
        for actions in [
            json!([action]),
            json!([{"type": action}]),
            json!(["stop", action]),
        ] {
            let found = problems(&stopping(json!({"actions": actions})));
            assert!(
                found.contains(&format!(
                    "`night.actions.{action}`: is an action without an equivalent"
                )),
                "{found}"
            );
        }
    }
    let found = problems(&stopping(json!({"actions": ["start"]})));
    assert!(
        found.contains("`night.actions.start`: runs at the hours of `offhour`"),
        "{found}"
    );
    let found = problems(&starting(json!({"actions": [{"type": "stop"}]})));
    assert!(
        found.contains("`morning.actions.stop`: runs at the hours of `onhour`"),
        "{found}"
    );
    for actions in [json!([]), Value::Null] {
        let found = problems(&stopping(json!({"actions": actions})));
        assert!(found.contains("`night.actions`: has no `stop`"), "{found}");
    }
    assert!(problems(&stopping(json!({"actions": "stop"}))).contains("not a list of actions"));
    assert!(problems(&stopping(json!({"actions": [{"op": "stop"}]}))).contains("has no `type`"));
}

#[test]
fn a_notification_next_to_a_stop_is_refused_and_the_stop_is_translated() {
    let actions = json!([
        {"type": "stop", "terminate-ephemeral": true, "hibernate": false, "force": false},
        {"type": "notify", "to": ["a@example.com"]}, "webhook", {"type": "put-metric"}
    ]);
    let found = imported(&stopping(json!({"actions": actions})));
    insta::assert_snapshot!(refused(&found), @r"
    `night.actions.stop.terminate-ephemeral`: terminates instances with an instance store; Curfew never terminates instances and skips these
    `night.actions.notify`: is not translated: notifications are configured once, in `[[notify]]`
    `night.actions.webhook`: is not translated: notifications are configured once, in `[[notify]]`
    `night.actions.put-metric`: is not translated: notifications are configured once, in `[[notify]]`
    ");
    assert!(found.toml.contains("stop = \"0 19 * * MON-FRI\""));
}

/// Every key of a policy, by Cloud Custodian's `c7n/schema.py`.
#[test]
#[expect(clippy::too_many_lines, reason = "a row for each key")]
fn every_key_of_a_policy_is_translated_noted_or_refused() {
    for (key, value, remark) in [
        (
            "description",
            json!("Lights out"),
            "Policy `night`: Lights out",
        ),
        ("comment", json!("Lights out"), "Policy `night`: Lights out"),
        (
            "comments",
            json!("Lights out"),
            "Policy `night`: Lights out",
        ),
        ("tags", json!(["cost"]), "`tags` labels the policy itself"),
        (
            "metadata",
            json!({"team": "a"}),
            "`metadata` describes the policy itself",
        ),
        (
            "source",
            json!("config"),
            "`source` names where Cloud Custodian reads instances from",
        ),
        (
            "tz",
            json!("UTC"),
            "`tz` is the time zone of `start` and `end`",
        ),
        ("mode", json!({"type": "pull"}), ""),
        (
            "mode",
            json!({"type": "periodic", "schedule": "rate(1 hour)", "role": "r", "timeout": 60}),
            "runs by `rate(1 hour)`",
        ),
        (
            "mode",
            json!({"type": "schedule", "schedule": "cron(0/15 * * * ? *)", "group-name": "g"}),
            "runs by `cron(0/15",
        ),
        ("query", json!([{"instance-state-name": "running"}]), ""),
        ("query", json!([]), ""),
        ("conditions", json!([]), ""),
        ("resource", json!(["ec2", "aws.ec2"]), ""),
        (
            "filters",
            json!([{"type": "offhour"}, {"State.Name": "running"}]),
            "",
        ),
        (
            "filters",
            json!(["offhour", {"type": "value", "key": "State.Name", "op": "eq", "value": "running"}]),
            "",
        ),
        (
            "filters",
            json!([{"and": ["offhour", {"tag:aws:autoscaling:groupName": "absent"}]}]),
            "members of Auto Scaling groups",
        ),
        (
            "filters",
            json!([{"or": ["offhour", {"type": "offhour", "tag": "b"}]}]),
            "",
        ),
    ] {
        let policy = stopping(json!({key: value}));
        let found = imported(&policy);
        assert_eq!(refused(&found), "", "{policy}");
        let toml = found.toml.replace("\n# ", " ");
        assert!(toml.contains(remark), "{key}: {toml}");
        assert!(toml.contains("stop = \"0 19 * * MON-FRI\""), "{toml}");
        assert!(!toml.contains("\nstart ="), "{toml}");
    }
    for (key, value, why) in [
        (
            "conditions",
            json!([{"region": "us-east-1"}]),
            "`night.conditions`: limit when",
        ),
        (
            "region",
            json!("us-east-1"),
            "`night.region`: limits the policy to a region",
        ),
        (
            "start",
            json!("2026-01-01"),
            "`night.start`: is the date from which",
        ),
        (
            "end",
            json!("2026-01-01"),
            "`night.end`: is the date until which",
        ),
        (
            "max-resources",
            json!(10),
            "`night.max-resources`: stops the policy",
        ),
        (
            "max-resources",
            json!({"amount": 1}),
            "`night.max-resources`: stops the policy",
        ),
        (
            "max-resources-percent",
            json!(10),
            "`night.max-resources-percent`: stops the policy",
        ),
        (
            "mode",
            json!({"type": "cloudtrail", "events": ["RunInstances"]}),
            "`night.mode.type`: is `cloudtrail`: the policy runs on an event",
        ),
        (
            "mode",
            json!({"type": "periodic", "schedule": "rate(1 day)"}),
            "`night.mode.schedule`: is `rate(1 day)`",
        ),
        (
            "mode",
            json!({"type": "periodic", "schedule": "rate(90 minutes)"}),
            "`night.mode.schedule`",
        ),
        (
            "mode",
            json!({"type": "periodic", "schedule": "cron(0 19 * * ? *)"}),
            "`night.mode.schedule`",
        ),
        (
            "mode",
            json!({"type": "periodic"}),
            "`night.mode.schedule`: is missing",
        ),
        (
            "mode",
            json!({"type": "schedule", "schedule": "rate(1 hour)", "end-date": "2027-01-01"}),
            "`night.mode.end-date`",
        ),
        (
            "mode",
            json!({"type": "pull", "member-role": "r"}),
            "`night.mode.member-role`",
        ),
        (
            "mode",
            json!({"type": "pull", "execution-options": {}}),
            "`night.mode.execution-options`",
        ),
        (
            "query",
            json!([{"tag:Team": "a"}]),
            "`night.query`: limits the policy",
        ),
        (
            "query",
            json!([{"instance-state-name": "stopped"}]),
            "`night.query`: limits the policy",
        ),
        (
            "resource",
            json!("asg"),
            "`night.resource`: is `asg`; Curfew manages EC2",
        ),
        (
            "resource",
            json!(["ec2", "rds"]),
            "`night.resource`: is `rds`",
        ),
        ("resource", Value::Null, "`night.resource`: is missing"),
        ("colour", json!("red"), "`night.colour`: is not a property"),
        (
            "filters",
            json!([{"type": "offhour"}, {"tag:Team": "web"}]),
            "`night.filters.tag:Team`: is a filter without a counterpart",
        ),
        (
            "filters",
            json!(["offhour", {"type": "instance-age", "days": 3}]),
            "`night.filters.instance-age`",
        ),
        (
            "filters",
            json!(["offhour", {"not": [{"type": "onhour"}]}]),
            "`night.filters.not`",
        ),
        (
            "filters",
            json!([{"or": ["offhour", {"State.Name": "running"}]}]),
            "`night.filters.or`",
        ),
        (
            "filters",
            json!([{"or": ["offhour", "onhour"]}]),
            "`night.filters`: has `offhour` or `onhour`",
        ),
        (
            "filters",
            json!(["offhour", {"type": "offhour", "tag": "b"}]),
            "`night.filters`: has several",
        ),
        (
            "filters",
            json!(["offhour", {"State.Name": "stopped"}]),
            "`night.filters.State.Name`: is `stopped`, and an `offhour` filter",
        ),
        (
            "filters",
            json!(["offhour", {"type": "value", "key": "State.Name", "op": "ne", "value": "running"}]),
            "`night.filters.value`",
        ),
        ("filters", json!(["offhour", 7]), "`night.filters.7`"),
        ("filters", json!([]), "`night.filters`: has no `offhour`"),
        (
            "filters",
            json!({"type": "offhour"}),
            "`night.filters`: is not a list",
        ),
        ("filters", Value::Null, "`night.filters`: has no `offhour`"),
    ] {
        let policy = stopping(json!({key: value}));
        let found = problems(&policy);
        assert!(found.contains(why), "{policy}: {found}");
    }
}

/// Every key of an hour filter, by Cloud Custodian's `c7n/filters/offhours.py` and `c7n/resources/ec2.py`.
#[test]
fn every_key_of_a_filter_is_translated_or_refused() {
    for (more, name, line) in [
        (
            json!({"tag": "Night"}),
            "night",
            "stop = \"0 19 * * MON-FRI\"",
        ),
        (
            json!({"default_tz": "utc"}),
            "maid_offhours",
            "timezone = \"Etc/UTC\"",
        ),
        (
            json!({"offhour": 0}),
            "maid_offhours",
            "stop = \"0 0 * * MON-FRI\"",
        ),
        (
            json!({"weekends": true}),
            "maid_offhours",
            "stop = \"0 19 * * MON-FRI\"",
        ),
        (
            json!({"weekends": false}),
            "maid_offhours",
            "stop = \"0 19 * * *\"",
        ),
        (
            json!({"weekends-only": true}),
            "maid_offhours",
            "stop = \"0 19 * * FRI\"",
        ),
        (
            json!({"opt-out": true}),
            "maid_offhours",
            "takes every instance without the tag",
        ),
        (
            json!({"state-filter": false}),
            "maid_offhours",
            "stop = \"0 19 * * MON-FRI\"",
        ),
    ] {
        let policy = filtering(stopping(json!({})), more);
        let found = imported(&policy);
        assert_eq!(refused(&found), "", "{policy}");
        assert!(found.toml.contains(line), "{policy}: {}", found.toml);
        assert!(
            configuration(&found).schedules.contains_key(name),
            "{policy}"
        );
    }
    for (more, why) in [
        (
            json!({"skip-days-from": {"url": "s3://x"}}),
            "`night.offhour.skip-days-from`: refers to an external list",
        ),
        (
            json!({"skip-days": ["25 December"]}),
            "`night.offhour.skip-days`: has `25 December`",
        ),
        (
            json!({"offhour": 25}),
            "`night.offhour.offhour`: is not a whole hour",
        ),
        (
            json!({"onhour": 7}),
            "`night.offhour.onhour`: is not a property",
        ),
        (
            json!({"default_tz": "Mars"}),
            "`night.offhour.default_tz`: `mars` is neither",
        ),
        (
            json!({"fallback-schedule": "at night"}),
            "`night.offhour.fallback-schedule`",
        ),
        (
            json!({"colour": "red"}),
            "`night.offhour.colour`: is not a property",
        ),
    ] {
        let found = problems(&filtering(stopping(json!({})), more));
        assert!(found.contains(why), "{found}");
    }
}

#[test]
fn a_filter_takes_its_own_hours_from_the_fallback() {
    let fallback = json!({"fallback-schedule": "off=(M-F,20);on=(M-F,6);tz=pt"});
    let off = filtering(stopping(json!({})), fallback.clone());
    let found = imported(&off);
    let schedules = configuration(&found).schedules;
    let names: Vec<_> = schedules.keys().map(String::as_str).collect();
    assert_eq!(names, ["maid_offhours", "maid_offhours-fallback"]);
    // An `offhour` policy starts nothing, whatever its fallback contains.
    assert!(
        schedules.values().all(|it| it.start.is_empty()),
        "{}",
        found.toml
    );
    let untagged = &schedules["maid_offhours-fallback"];
    assert_eq!(untagged.stop.as_slice(), ["0 20 * * MON-FRI"]);
    assert_eq!(untagged.timezone.as_deref(), Some("America/Los_Angeles"));
    // A tag of `on` selects the hours of the policy, not of its fallback.
    let tagged = &schedules["maid_offhours"];
    assert_eq!(tagged.stop.as_slice(), ["0 19 * * MON-FRI"]);
    assert_eq!(tagged.timezone.as_deref(), Some("America/New_York"));

    let both = json!({"policies": [off, filtering(starting(json!({})), fallback)]});
    let untagged = schedule(&both, "maid_offhours-fallback");
    assert_eq!(untagged.start.as_slice(), ["0 6 * * MON-FRI"]);
    assert_eq!(untagged.stop.as_slice(), ["0 20 * * MON-FRI"]);
    // A fallback's missing half is the policy's own.
    let open = filtering(
        starting(json!({})),
        json!({"fallback_schedule": "off=(M-F,20)"}),
    );
    let untagged = schedule(&open, "maid_offhours-fallback");
    assert_eq!(untagged.start.as_slice(), ["0 7 * * MON-FRI"]);
    assert!(untagged.stop.is_empty());
    // Opted out, as without a fallback.
    let off = filtering(stopping(json!({})), json!({"fallback-schedule": "off"}));
    assert_eq!(configuration(&imported(&off)).schedules.len(), 1);
}

#[test]
fn skipped_days_are_kept_where_nothing_is_interrupted() {
    let holidays = json!({"skip-days": ["2026-12-24", "2026-12-25"]});
    let on = filtering(starting(json!({})), holidays.clone());
    let both = json!([stopping(json!({})), on]);
    assert_eq!(refused(&imported(&both)), "");
    // Thursday and Friday: stops as on other days, and no start.
    let edges: Vec<_> = timetable(&both, "maid_offhours")
        .edges("2026-12-23T12:00:00Z".parse::<Timestamp>().unwrap())
        .take(5)
        .map(|edge| format!("{} {}", edge.at, edge.action))
        .collect();
    assert_eq!(
        edges,
        [
            "2026-12-24T00:00:00Z stop",
            "2026-12-25T00:00:00Z stop",
            "2026-12-26T00:00:00Z stop",
            "2026-12-28T12:00:00Z start",
            "2026-12-29T00:00:00Z stop",
        ]
    );
    // Cloud Custodian would not stop on them either, which is reported.
    let off = filtering(stopping(json!({})), holidays.clone());
    let found = imported(&json!([off, on]));
    assert_eq!(
        refused(&found),
        "`night.offhour.skip-days`: are not translated: the schedule stops on 2026-12-24, 2026-12-25 too, since `except` suppresses \
         starts and never stops"
    );
    // From Monday to Friday, a day in between would be cut out of the run: an extra stop and start.
    let monday = filtering(on, json!({"weekends-only": true}));
    let friday = filtering(stopping(json!({})), json!({"weekends-only": true}));
    assert!(problems(&json!([monday, friday])).contains(
        "`morning.onhour.skip-days`: includes 2026-12-24, into which a run of the day before continues"
    ));
}

#[test]
fn policies_that_do_not_form_one_schedule_are_refused_by_name() {
    let policies = json!({"policies": [
        stopping(json!({})),
        stopping(json!({"name": "later", "filters": [{"type": "offhour", "offhour": 22}]})),
        filtering(stopping(json!({"name": "east"})), json!({"tag": "b"})),
        filtering(starting(json!({"name": "west"})), json!({"tag": "b", "default_tz": "pt"})),
    ], "polices": []});
    let found = imported(&policies);
    insta::assert_snapshot!(refused(&found), @r"
    `document.polices`: is not a property that can be translated
    `later.offhour`: reads the same tag `maid_offhours` as policy `night`, which is a schedule already
    `b`: has starts in America/Los_Angeles and stops in America/New_York; a schedule has one time zone
    ");
    assert!(
        problems(&json!({"type": "offhour"})).contains("a filter or an action without its policy")
    );
    assert!(problems(&json!({"policies": []})).contains("has no policies"));
    assert!(problems(&json!({"policies": {}})).contains("`document.policies`: is not a list"));
    assert!(problems(&json!([7])).contains("`policies[0]`: is not an object"));
    assert!(custodian("{").unwrap_err()[0].message.contains("not JSON"));
}

/// Any JSON in the place of a policy, a filter, an action or one of their values.
fn any_json() -> impl Strategy<Value = Value> {
    let word = proptest::sample::select(vec![
        "stop",
        "start",
        "offhour",
        "onhour",
        "notify",
        "reboot",
        "and",
        "or",
        "not",
        "ec2",
        "et",
        "off",
        "on=(M,7)",
        "",
        "2026-12-25",
        "State.Name",
        "running",
    ]);
    let key = proptest::sample::select(vec![
        "type",
        "name",
        "resource",
        "filters",
        "actions",
        "and",
        "or",
        "not",
        "offhour",
        "onhour",
        "tag",
        "default_tz",
        "fallback-schedule",
        "skip-days",
        "mode",
        "query",
        "conditions",
        "hibernate",
        "weekends",
        "policies",
        "State.Name",
    ]);
    let leaf = prop_oneof![
        word.prop_map(Value::from),
        (0..25u8).prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        Just(Value::Null),
    ];
    leaf.prop_recursive(4, 24, 4, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::vec((key.clone(), inner), 0..5).prop_map(|entries| {
                let entries = entries
                    .into_iter()
                    .map(|(key, value)| (key.to_owned(), value));
                Value::Object(entries.collect())
            }),
        ]
    })
}

proptest! {
    /// A policy without its filter's action is not a schedule; with it, only that action is translated.
    #[test]
    fn only_the_action_of_the_filter_is_imported(
        off in any::<bool>(), key in "[a-z-]{0,9}|mode|query|conditions", value in any_json(),
        filter in any_json(), action in any_json(),
    ) {
        let mut policy = if off { stopping(json!({})) } else { starting(json!({})) };
        policy[key] = value;
        if let Some(filters) = policy["filters"].as_array_mut() {
            filters.push(filter);
        }
        policy["actions"] = json!([action]);
        let text = policy.to_string();
        let wanted = if off { "stop" } else { "start" };
        let acts = action == wanted || action["type"] == wanted;
        if let Ok(imported) = custodian(&text) {
            prop_assert!(acts, "{}", imported.toml);
            let schedule_set = configuration(&imported).resolve().map_err(|_| TestCaseError::fail("our own TOML"))?;
            for schedule in schedule_set.schedules.values() {
                let edges = schedule.timetable.edges("2026-01-01T00:00:00Z".parse().unwrap()).take(9);
                let other = if off { Action::Start } else { Action::Stop };
                prop_assert!(edges.into_iter().all(|edge| edge.action != other), "{}", imported.toml);
            }
        }
    }

    #[test]
    fn no_document_panics(document in any_json()) {
        if let Ok(imported) = custodian(&document.to_string()) {
            prop_assert!(configuration(&imported).resolve().is_ok(), "{}", imported.toml);
        }
    }
}
