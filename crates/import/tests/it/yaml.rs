//! YAML: CloudFormation templates of Instance Scheduler, and policies of Cloud Custodian; and the items of a `DynamoDB` table.

use std::fmt::Write as _;

use curfew_import::{Imported, custodian, instance_scheduler};

/// Returns the TOML without the comments at its head, and the refusals.
fn body(imported: &Imported) -> (String, Vec<String>) {
    let lines = imported
        .toml
        .lines()
        .skip_while(|line| line.starts_with('#'));
    let toml = lines.collect::<Vec<_>>().join("\n");
    (
        toml,
        imported.refused.iter().map(ToString::to_string).collect(),
    )
}

const TEMPLATE: &str = r#"
AWSTemplateFormatVersion: "2010-09-09"
Parameters:
  Scheduler: {Type: String}
Resources:
  Bucket:
    Type: AWS::S3::Bucket
  Office:
    Type: Custom::ServiceInstanceSchedule
    Properties:
      NoStackPrefix: 'True'
      Name: office
      Timezone: Europe/Paris
      Enforced: yes
      ServiceToken: !Sub "arn:aws:lambda:${AWS::Region}:${AWS::AccountId}:function:scheduler"
      Periods:
        - Description: weekdays  # a comment
          BeginTime: 08:00
          EndTime: 20:00
          WeekDays: mon-fri
        - {BeginTime: '09:00', EndTime: '12:00', WeekDays: sat}
"#;

#[test]
fn a_template_in_yaml_is_the_same_as_in_json() {
    let (toml, refused) = body(&instance_scheduler(TEMPLATE).unwrap());
    assert_eq!(refused, [""; 0]);
    let office: toml::Table = toml.parse().unwrap();
    let office = &office["schedules"]["office"];
    assert_eq!(office["timezone"].as_str(), Some("Europe/Paris"));
    assert_eq!(office["enforce"].as_bool(), Some(true));
    let running = office["running"].as_array().unwrap();
    let running: Vec<_> = running.iter().filter_map(toml::Value::as_str).collect();
    assert_eq!(running, ["Mon-Fri 08:00-20:00", "Sat 09:00-12:00"]);
}

#[test]
fn a_value_that_cloudformation_computes_is_refused_also_in_its_short_form() {
    let template = TEMPLATE.replace("Timezone: Europe/Paris", "Timezone: !Ref Zone");
    let problems = instance_scheduler(&template).unwrap_err();
    assert_eq!(
        problems[0].to_string(),
        "`office.timezone`: is computed by CloudFormation (`Ref`); write the literal value"
    );
    let template = TEMPLATE.replace(
        "BeginTime: 08:00",
        "BeginTime: !FindInMap [Times, Office, Begin]",
    );
    let problems = instance_scheduler(&template).unwrap_err();
    assert!(
        problems[0]
            .to_string()
            .contains("is computed by CloudFormation (`Fn::FindInMap`)"),
        "{problems:?}"
    );
}

const POLICIES: &str = r"
vars:
  hours: &hours
    tag: custodian_downtime
    default_tz: et
policies:
  - name: stop-after-hours
    resource: ec2
    mode: {type: periodic, schedule: rate(1 hour), role: 'arn:aws:iam::{account_id}:role/c7n'}
    filters:
      - type: offhour
        <<: *hours
        offhour: 19
    actions: [stop]
  - name: start-in-the-morning
    resource: aws.ec2
    filters:
      - {type: onhour, onhour: 07, <<: *hours}
    actions:
      - start
";

#[test]
fn policies_in_yaml_are_read_with_anchors_and_merge_keys() {
    let (toml, refused) = body(&custodian(POLICIES).unwrap());
    assert_eq!(refused, [""; 0]);
    let json = r#"{"policies": [
        {"name": "stop-after-hours", "resource": "ec2",
         "mode": {"type": "periodic", "schedule": "rate(1 hour)", "role": "arn:aws:iam::{account_id}:role/c7n"},
         "filters": [{"type": "offhour", "tag": "custodian_downtime", "default_tz": "et", "offhour": 19}], "actions": ["stop"]},
        {"name": "start-in-the-morning", "resource": "aws.ec2",
         "filters": [{"type": "onhour", "tag": "custodian_downtime", "default_tz": "et", "onhour": 7}], "actions": ["start"]}
    ]}"#;
    assert_eq!(body(&custodian(json).unwrap()), (toml.clone(), refused));
    assert!(
        toml.contains("America/New_York") && toml.contains("\"0 7 * * MON-FRI\""),
        "{toml}"
    );
}

#[test]
fn a_tags_value_is_not_taken_for_yaml() {
    for value in ["off=(M-F,19);on=(M-F,7);tz=pt", "off", "'off=(M-F,21)'"] {
        assert!(custodian(value).is_ok(), "{value}");
    }
}

/// The output of `aws dynamodb scan --table-name STACK-ConfigTable-…`.
const SCAN: &str = r#"{"Items": [
    {"type": {"S": "config"}, "name": {"S": "scheduler"}, "tagname": {"S": "Schedule"}},
    {"type": {"S": "period"}, "name": {"S": "weekdays"}, "begintime": {"S": "08:00"}, "endtime": {"S": "20:00"},
     "weekdays": {"SS": ["mon-fri"]}, "months": {"SS": ["jan-jun", "sep-dec"]}},
    {"type": {"S": "schedule"}, "name": {"S": "office"}, "periods": {"SS": ["weekdays"]}, "timezone": {"S": "Europe/Paris"},
     "enforced": {"BOOL": true}, "retain_running": {"BOOL": false}, "description": {"NULL": true}}
], "Count": 3, "ScannedCount": 3, "ConsumedCapacity": null}"#;

const OFFICE: &str = "[schedules.office]\ntimezone = \"Europe/Paris\"\n\
    running = \"Mon-Fri months=Jan-Jun,Sep-Dec 08:00-20:00\" # period weekdays\nenforce = true\nadopt = \"converge\"";

#[test]
fn the_items_of_the_table_are_read_with_and_without_types() {
    let (toml, refused) = body(&instance_scheduler(SCAN).unwrap());
    assert_eq!(refused, [""; 0]);
    assert_eq!(toml.trim_start(), OFFICE);
    let plain = r#"{"type": "period", "name": "weekdays", "begintime": "08:00", "endtime": "20:00", "weekdays": ["mon-fri"],
        "months": ["jan-jun", "sep-dec"]}"#;
    let schedule = r#"{"type": "schedule", "name": "office", "periods": ["weekdays"], "timezone": "Europe/Paris", "enforced": true}"#;
    for document in [
        format!("[{plain}, {schedule}]"),
        format!("{plain}\n{schedule}"),
        format!(r#"{{"Items": [{schedule}, {plain}]}}"#),
        format!(r#"{{"Item": {plain}}}{{"Item": {schedule}}}"#),
    ] {
        let (toml, refused) = body(&instance_scheduler(&document).unwrap());
        assert_eq!(
            (toml.trim_start(), refused),
            (OFFICE, Vec::new()),
            "{document}"
        );
    }
}

#[test]
fn a_scan_that_ended_early_and_items_of_other_tables_are_refused() {
    let partial = SCAN.replace("\"ConsumedCapacity\": null", "\"NextToken\": \"x\"");
    let (_, refused) = body(&instance_scheduler(&partial).unwrap());
    assert_eq!(
        refused,
        ["`document`: is the first part of a longer list of items; scan the complete table"]
    );
    let other = r#"{"Items": [{"id": {"S": "x"}, "type": {"S": "user"}}]}"#;
    let problems = instance_scheduler(other).unwrap_err();
    assert!(
        problems[0].message.starts_with("has the type `user`"),
        "{problems:?}"
    );
}

#[test]
fn small_texts_that_would_fill_the_memory_are_refused() {
    let refusal = |text: &str| instance_scheduler(text).unwrap_err()[0].message.clone();
    // A billion laughs: nine levels of nine aliases.
    let mut laughs = "a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n".to_owned();
    for level in 1..9 {
        let aliases = vec![format!("*a{}", level - 1); 9].join(", ");
        let _ = writeln!(laughs, "a{level}: &a{level} [{aliases}]");
    }
    let large = format!(
        "a: &a \"{}\"\nb: [{}]\n",
        "x".repeat(100_000),
        "*a, ".repeat(1000)
    );
    for text in [laughs, large] {
        let refusal = refusal(&text);
        assert!(
            refusal.contains("too large once its aliases are expanded"),
            "{refusal}"
        );
    }
    let deep = refusal(&("a: ".to_owned() + &"[".repeat(10_000)));
    assert!(
        deep.contains("nested more than 64 levels deep") || deep.contains("recursion"),
        "{deep}"
    );
    let lines: Vec<String> = (0..200).map(|level| " ".repeat(level) + "a:\n").collect();
    let block = lines.concat();
    assert!(refusal(&block).contains("nested more than 64 levels deep"));
}

#[test]
fn yaml_that_is_not_well_formed_is_refused_with_its_line() {
    for (text, expected) in [
        ("a: 1\nb: [", "in line 3, column 1"),
        ("a: 1\na: 2", "the key `a` appears twice, in line 2"),
        ("a: &x [*x]", "an alias refers to itself, in line 1"),
        ("a: *x", "line 1"),
        (
            "a: !!binary aGk=",
            "the tag `!!binary` is not read, in line 1",
        ),
        ("[a]: 1", "is not JSON"),
        ("? [a]\n: 1", "a key is not a string, in line 1"),
    ] {
        let problems = instance_scheduler(text).unwrap_err();
        assert!(
            problems[0].message.contains(expected),
            "{text}: {problems:?}"
        );
    }
}

proptest::proptest! {
    #[test]
    fn no_text_panics(text in "(?s)[-:#&*!<>\\[\\]{}'\"|? \na-c01]{0,60}") {
        let _ = instance_scheduler(&text);
        let _ = custodian(&text);
    }
}
