//! `curfew plan`: the steps of the next pass, and the reasons for skips.

use curfew_model::{ApiAction, CredentialFault, Denial, Fault, Launch};
use serde_json::json;

use crate::commands::cloud::{CONFIGURATION, Cloud, due, idle, lines};
use crate::support::terminal::Terminal;

#[test]
fn every_observed_instance_has_a_step_or_a_reason() {
    let cloud = Cloud::with([
        due("web"),
        idle("batch"),
        Launch::new("stray"),
        due("of-a-group").auto_scaling_group("web-asg"),
        Launch::new("misspelt").tag("Schedule", "nigth"),
    ]);
    let plan = cloud.json(&["plan"]);
    assert_eq!(
        lines(&plan["steps"], &["action", "cause", "state"]),
        ["web | stop | schedule night | running"]
    );
    assert_eq!(
        lines(&plan["skipped"], &["code"]),
        [
            "batch | as_desired",
            "misspelt | unknown_schedule",
            "of-a-group | auto_scaling_group",
            "stray | unmanaged"
        ]
    );
    assert!(plan["next"]["at"].is_string(), "{plan}");
    assert_eq!(cloud.changes(), 0, "a plan changes nothing");
}

#[test]
fn piped_output_has_a_line_for_each_instance() {
    let cloud = Cloud::with((0..30).map(|n| idle(&format!("web-{n}"))));
    let output = cloud.run(&["plan"]);
    assert!(
        output.stdout.starts_with("Nothing to do; 30 left alone\n"),
        "{output:?}"
    );
    let line = |n| {
        output
            .stdout
            .lines()
            .any(|line| line.contains(&format!(" web-{n} ")))
    };
    assert!((0..30).all(line), "{output:?}");
    assert_eq!(output.stderr, "");
}

#[test]
fn a_terminal_groups_similar_instances() {
    let fleet = (0..30).map(|n| idle(&format!("web-{n}")));
    let cloud = Cloud::with(fleet.chain((0..25).map(|n| due(&format!("db-{n}")))));
    let (code, screen) = Terminal::run(cloud.curfew(&["plan"])).end();
    assert_eq!(code, 0);
    assert!(
        screen.starts_with("25 steps: 25 stop; 30 left alone\n"),
        "{screen}"
    );
    for line in [
        "   25  stop, schedule night: db-0, db-1, db-2 and 22 more",
        "   30  it is running, as it should be: web-0, web-1, web-2 and 27 more",
    ] {
        assert!(screen.lines().any(|shown| shown == line), "{screen}");
    }
}

#[test]
fn the_exit_code_depends_on_the_failure() {
    let cloud = Cloud::with([due("web")]);
    cloud.ec2.deny(Denial::of(ApiAction::DescribeInstances));
    assert_eq!(cloud.run(&["plan"]).code, 4);
    cloud.ec2.allow_everything();
    cloud
        .ec2
        .reject_credentials("000000000000", CredentialFault::ExpiredToken);
    let output = cloud.run(&["plan"]);
    assert_eq!((output.code, output.stdout.as_str()), (4, ""), "{output:?}");
    cloud.ec2.accept_credentials("000000000000");
    cloud.ec2.fault(Fault::error(
        ApiAction::DescribeInstances,
        500,
        "InternalError",
    ));
    assert_eq!(cloud.run(&["plan"]).code, 1);
    cloud.ec2.clear_faults();
    assert_eq!(cloud.json(&["plan"])["skipped"], json!([]));
}

#[test]
fn tables_name_account_regions_if_there_are_several() {
    let cloud = Cloud::with([due("web"), due("shop").region("eu-west-3")]);
    let row = |output: &str, name: &str| {
        let line = output.lines().find(|line| line.contains(name)).unwrap();
        line.split_whitespace().nth(2).unwrap().to_owned()
    };
    let here = cloud.run(&["status"]).stdout;
    assert!(!here.contains("REGION"), "{here}");

    let path = cloud.directory.path().join("curfew.toml");
    let configuration =
        format!("{CONFIGURATION}\n[managing]\nregions = ['us-east-1', 'eu-west-3']\n");
    std::fs::write(path, configuration).unwrap();
    for command in [
        &["status"][..],
        &["plan"],
        &["stop", "--all", "--dry-run"],
        &["apply", "--yes"],
    ] {
        let output = cloud.run(command).stdout;
        assert!(output.contains("  REGION"), "{command:?}: {output}");
        let places = ["web", "shop"].map(|name| row(&output, name));
        assert_eq!(places, ["us-east-1", "eu-west-3"], "{command:?}: {output}");
    }
}
