//! Several accounts: whose an instance is, told to programs.

use std::fs;
use std::time::{Duration, Instant};

use curfew_model::{ApiAction, Denial, Fault, Launch, Role, Symptom};
use serde_json::{Value, json};

use crate::commands::cloud::{CONFIGURATION, Cloud, due, idle, lines};

const PAYMENTS: &str = "111122223333";

/// One instance at home, and one in another account.
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
fn every_entry_says_whose_the_instance_is() {
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
fn an_instance_that_is_left_alone_has_its_account_too() {
    let cloud = organisation(idle("web"), idle("billing"));
    let plan = cloud.json(&["plan"]);
    assert_eq!(accounts(&plan["skipped"]), BOTH);
    let resumed = cloud.run(&["resume", "--all", "-o", "json"]).json();
    assert_eq!(accounts(&resumed["instances"]), BOTH);
}

#[test]
fn one_account_is_not_told_at_every_instance() {
    let cloud = Cloud::with([due("web"), idle("batch")]);
    for arguments in [
        ["plan"].as_slice(),
        &["status"],
        &["stop", "--all", "--dry-run"],
        &["apply", "--yes"],
    ] {
        let told = cloud.json(arguments).to_string();
        assert!(told.contains("us-east-1"), "{told}");
        assert!(!told.contains("account"), "{arguments:?}: {told}");
    }
}

/// An organisation of three account-regions, of which one answers.
fn most_of_it_refused() -> Cloud {
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
fn nothing_is_called_not_found_that_may_be_where_no_answer_came_from() {
    let cloud = most_of_it_refused();
    let billing = cloud.id("billing").to_string();
    for arguments in [
        ["stop", "--tag", "Team:payments"].as_slice(),
        &["start", "--schedule", "strict"],
        &["stop", &billing],
        &["status", &billing],
        &["explain", &billing],
    ] {
        let told = cloud.run(arguments);
        assert_eq!(told.code, 4, "not 3: {told:?}");
        assert!(
            told.stderr.contains("of account `111122223333`"),
            "{told:?}"
        );
    }
    let told = cloud.run(&["stop", "--tag", "Team:payments"]);
    let first = told.stderr.lines().next().unwrap();
    assert!(
        first.starts_with("error: no managed instance fits what was named, in the accounts and regions that answered: in `us-east-1`"),
        "{first}"
    );
    assert_eq!(cloud.changes(), 0);
    // Where everything answers, it is not there.
    cloud.ec2.allow_everything();
    assert_eq!(cloud.run(&["stop", "--tag", "Team:nobody"]).code, 3);
}

#[test]
fn each_account_region_that_fails_is_told_with_its_own_hint() {
    let cloud = most_of_it_refused();
    let reset = Fault::on(ApiAction::DescribeInstances, Symptom::Reset);
    cloud.ec2.fault(reset.in_account("000000000000"));
    let told = cloud.run(&["status"]);
    assert_eq!(told.code, 1, "they failed in two ways: {told:?}");
    let lines: Vec<&str> = told.stderr.lines().collect();
    let errors = lines.iter().filter(|line| line.starts_with("error: in `"));
    assert_eq!(errors.count(), 3, "{told:?}");
    for pair in lines.chunks(2) {
        assert!(
            pair[0].starts_with("error: ") && pair[1].starts_with("  hint: "),
            "{told:?}"
        );
    }
    assert!(lines[1].contains("check the endpoint"), "{told:?}");
    assert!(
        lines[3].contains("grant this action to the role"),
        "{told:?}"
    );
}

#[test]
fn what_does_not_answer_is_named_in_every_document_and_the_rest_is_shown_in_time() {
    let cloud = organisation(due("web"), due("billing"));
    let hangs = Fault::on(ApiAction::DescribeInstances, Symptom::Hang);
    cloud.ec2.fault(hangs.in_account(PAYMENTS));
    let told = std::thread::scope(|scope| {
        let commands = [
            ["status", "-o", "json"].as_slice(),
            &["plan", "-o", "json"],
            &["stop", "--all", "--dry-run", "-o", "json"],
            &["apply", "--yes", "-o", "json"],
        ];
        let begun = Instant::now();
        let running = commands.map(|arguments| scope.spawn(|| cloud.run(arguments)));
        let told = running.map(|one| one.join().unwrap());
        assert!(
            begun.elapsed() < Duration::from_secs(25),
            "{:?}",
            begun.elapsed()
        );
        told
    });
    for told in told {
        assert_eq!(told.code, 5, "{told:?}");
        let document = told.json();
        assert_eq!(document["unanswered"][0]["account"], PAYMENTS, "{told:?}");
        assert_eq!(document["unanswered"][0]["region"], "us-east-1", "{told:?}");
        assert!(told.stdout.contains("web"), "{told:?}");
    }
    assert_eq!(cloud.state("web"), "stopping");
    assert_eq!(cloud.state("billing"), "running");
}
