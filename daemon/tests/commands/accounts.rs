//! Several accounts: whose an instance is, told to programs.

use std::fs;

use curfew_testing::{Launch, Role};
use serde_json::{Value, json};

use crate::cloud::{Cloud, SETTINGS, due, idle, lines};

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
    fs::write(file, format!("{SETTINGS}\n{account}")).unwrap();
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
