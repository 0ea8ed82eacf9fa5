//! Several accounts: the account and region of each instance in JSON documents.

use std::fs;
use std::time::{Duration, Instant};

use curfew_model::{ApiAction, Denial, Fault, Launch, Role, Symptom};
use serde_json::{Value, json};

use crate::commands::cloud::{CONFIGURATION, Cloud, due, idle, lines};

const PAYMENTS: &str = "111122223333";

/// One instance in the connection's account, and one in another account.
fn organisation(home: Launch, payments: Launch) -> Cloud {
    let cloud = Cloud::with([home, payments.account(PAYMENTS)]);
    let role = Role::new(PAYMENTS, "curfew-member").trusting("000000000000");
    cloud.ec2.add_role(role);
    let account = format!(
        "[[account]]\nid = '{PAYMENTS}'\nrole_arn = 'arn:aws:iam::{PAYMENTS}:role/curfew-member'\nregions = ['us-east-1']\n"
    );
    let file = cloud.directory.path().join("curfew.toml");
    fs::write(file, format!("{CONFIGURATION}\n{account}")).unwrap();
    cloud
}

fn accounts(entries: &Value) -> Vec<String> {
    lines(entries, &["region", "account"])
}

const BOTH: [&str; 2] = [
    "billing | us-east-1 | 111122223333",
    "web | us-east-1 | 000000000000",
];

#[test]
fn every_entry_has_region_and_account() {
    let cloud = organisation(due("web"), due("billing"));
    let plan = cloud.json(&["plan"]);
    assert_eq!(accounts(&plan["steps"]), BOTH);
    let status = cloud.json(&["status"]);
    assert_eq!(accounts(&status["instances"]), BOTH);
    let stopped = cloud.json(&["stop", "--all", "--dry-run"]);
    assert_eq!(accounts(&stopped["instances"]), BOTH);
    let applied = cloud.json(&["apply", "--yes"]);
    assert_eq!(accounts(&applied["steps"]), BOTH);
    assert_eq!(cloud.state("billing"), "stopping");
    let applied = cloud.json(&["apply", "--yes"]);
    assert_eq!(applied["steps"], json!([]));
    assert_eq!(accounts(&applied["skipped"]), BOTH);
}

#[test]
fn skipped_instances_have_region_and_account() {
    let cloud = organisation(idle("web"), idle("billing"));
    let plan = cloud.json(&["plan"]);
    assert_eq!(accounts(&plan["skipped"]), BOTH);
    let resumed = cloud
        .run(&["resume", "--all", "--yes", "-o", "json"])
        .json();
    assert_eq!(accounts(&resumed["instances"]), BOTH);
}

#[test]
fn a_single_account_is_omitted_from_entries() {
    let cloud = Cloud::with([due("web"), idle("batch")]);
    for arguments in [
        ["plan"].as_slice(),
        &["status"],
        &["stop", "--all", "--dry-run"],
        &["apply", "--yes"],
    ] {
        let output = cloud.json(arguments).to_string();
        assert!(output.contains("us-east-1"), "{output}");
        assert!(!output.contains("account"), "{arguments:?}: {output}");
    }
}

/// An organisation of three account-regions, of which one responds.
fn mostly_denied_organisation() -> Cloud {
    let cloud = organisation(due("web"), due("billing").tag("Team", "payments"));
    let file = cloud.directory.path().join("curfew.toml");
    let configuration = fs::read_to_string(&file).unwrap();
    let more = configuration.replace(
        "regions = ['us-east-1']",
        "regions = ['us-east-1', 'eu-west-3']",
    );
    fs::write(file, more).unwrap();
    let denied = Denial::of(ApiAction::DescribeInstances);
    cloud.ec2.deny(denied.in_account(PAYMENTS));
    cloud
}

#[test]
fn an_instance_is_not_called_missing_while_account_regions_fail() {
    let cloud = mostly_denied_organisation();
    let billing = cloud.id("billing").to_string();
    for arguments in [
        ["stop", "--tag", "Team:payments"].as_slice(),
        &["start", "--schedule", "strict"],
        &["stop", &billing],
        &["status", &billing],
        &["explain", &billing],
    ] {
        let output = cloud.run(arguments);
        assert_eq!(output.code, 4, "not 3: {output:?}");
        assert!(
            output.stderr.contains("of account `111122223333`"),
            "{output:?}"
        );
    }
    let output = cloud.run(&["stop", "--tag", "Team:payments"]);
    let first = output.stderr.lines().next().unwrap();
    assert!(
        first.starts_with("error: no managed instance fits what was named, in the accounts and regions that answered: in `us-east-1`"),
        "{first}"
    );
    assert_eq!(cloud.changes(), 0);
    // Once every account-region responds, a missing instance is reported as not found.
    cloud.ec2.allow_everything();
    assert_eq!(cloud.run(&["stop", "--tag", "Team:nobody"]).code, 3);
}

#[test]
fn each_failed_account_region_is_reported_with_its_hint() {
    let cloud = mostly_denied_organisation();
    let reset = Fault::on(ApiAction::DescribeInstances, Symptom::Reset);
    cloud.ec2.fault(reset.in_account("000000000000"));
    let output = cloud.run(&["status"]);
    assert_eq!(
        output.code, 1,
        "the failures have different exit codes: {output:?}"
    );
    let lines: Vec<&str> = output.stderr.lines().collect();
    let errors = lines.iter().filter(|line| line.starts_with("error: in `"));
    assert_eq!(errors.count(), 3, "{output:?}");
    for pair in lines.chunks(2) {
        assert!(
            pair[0].starts_with("error: ") && pair[1].starts_with("  hint: "),
            "{output:?}"
        );
    }
    assert!(lines[1].contains("check the endpoint"), "{output:?}");
    assert!(
        lines[3].contains("grant this action to the role"),
        "{output:?}"
    );
}

#[test]
fn a_silent_account_region_is_named_and_the_others_are_shown_in_time() {
    let cloud = organisation(due("web"), due("billing"));
    let hangs = Fault::on(ApiAction::DescribeInstances, Symptom::Hang);
    cloud.ec2.fault(hangs.in_account(PAYMENTS));
    let output = std::thread::scope(|scope| {
        let commands = [
            ["status", "-o", "json"].as_slice(),
            &["plan", "-o", "json"],
            &["stop", "--all", "--dry-run", "-o", "json"],
            &["apply", "--yes", "-o", "json"],
        ];
        let begun = Instant::now();
        let running = commands.map(|arguments| scope.spawn(|| cloud.run(arguments)));
        let output = running.map(|one| one.join().unwrap());
        assert!(
            begun.elapsed() < Duration::from_secs(25),
            "{:?}",
            begun.elapsed()
        );
        output
    });
    for output in output {
        assert_eq!(output.code, 5, "{output:?}");
        let document = output.json();
        assert_eq!(document["unanswered"][0]["account"], PAYMENTS, "{output:?}");
        assert_eq!(
            document["unanswered"][0]["region"], "us-east-1",
            "{output:?}"
        );
        assert!(output.stdout.contains("web"), "{output:?}");
    }
    assert_eq!(cloud.state("web"), "stopping");
    assert_eq!(cloud.state("billing"), "running");
}
