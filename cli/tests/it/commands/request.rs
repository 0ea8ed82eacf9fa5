//! `curfew start`, `stop`, `resume`: the rules of the HTTP API at the command line.

use curfew_model::{ApiAction, Launch};
use jiff::{SignedDuration, Timestamp, ToSpan, tz::TimeZone};
use serde_json::json;

use crate::commands::cloud::{Cloud, CommandResult, due, idle, lines, now};
use crate::support::terminal::Terminal;

/// Exit code and standard error, with instance ids replaced by names.
fn summary(cloud: &Cloud, output: &CommandResult) -> String {
    let mut text = format!("{}: {}", output.code, output.stderr);
    for name in ["web", "db", "stray"] {
        let instances = cloud.ec2.instances();
        let found = instances
            .iter()
            .find(|one| one.tags.get("Name").is_some_and(|tag| tag == name));
        if let Some(found) = found {
            text = text.replace(found.id.as_str(), &format!("i-{name}"));
        }
    }
    text
}

#[test]
fn the_only_managed_instance_needs_no_name() {
    let cloud = Cloud::with([idle("web"), Launch::new("stray")]);
    let changes = cloud.json(&["stop"]);
    assert_eq!(
        lines(
            &changes["instances"],
            &["state", "after", "result", "action"]
        ),
        ["web | running | stopping | stopping | stop"]
    );
    let last = cloud.tag("web", "curfew:last").unwrap();
    assert!(last.contains(" stop request by alice@"), "{last}");
}

#[test]
fn several_managed_instances_are_listed_as_choices() {
    let cloud = Cloud::with([idle("web"), idle("db"), Launch::new("stray")]);
    let output = cloud.run(&["stop"]);
    insta::assert_snapshot!(summary(&cloud, &output), @r#"
    2: error: which one? Curfew manages 2 instances: `i-db` (db), `i-web` (web)
      hint: pass the name or the ID of an instance, --schedule, --tag or --all
    "#);
    let stray = cloud.id("stray");
    insta::assert_snapshot!(summary(&cloud, &cloud.run(&["stop", stray.as_str()])), @r#"
    3: error: `i-stray` (stray): no schedule manages it: it has no managing tag, and no schedule's `match` takes it
      hint: Curfew only changes instances that a schedule manages
    "#);
    insta::assert_snapshot!(summary(&cloud, &cloud.run(&["stop", "i-0abc1234def567890"])), @r#"
    3: error: there is no instance `i-0abc1234def567890`
      hint: check the ID, the region and the account
    "#);
    insta::assert_snapshot!(summary(&cloud, &cloud.run(&["stop", "--schedule", "ofice"])), @r#"
    3: error: there is no schedule `ofice`
      hint: there is `night`, `strict`, `year`
    "#);
    insta::assert_snapshot!(summary(&cloud, &cloud.run(&["stop", "--tag", "Team:shop"])), @r#"
    3: error: no managed instance fits what was named
      hint: `curfew status --all` lists every instance with the reason it is skipped
    "#);
    assert_eq!(cloud.changes(), 0);
}

#[test]
fn schedules_and_tags_are_combined() {
    let cloud = Cloud::with([
        idle("web").tag("Team", "shop"),
        idle("db").tag("Team", "shop-data"),
        due("tool").tag("Team", "shop"),
    ]);
    let planned = |arguments: &[&str]| {
        let arguments = [&["stop", "--dry-run"], arguments].concat();
        lines(&cloud.json(&arguments)["instances"], &["result"]).join(", ")
    };
    assert_eq!(
        planned(&["--schedule", "year"]),
        "db | planned, web | planned"
    );
    assert_eq!(
        planned(&["--schedule", "year", "--tag", "Team:shop"]),
        "web | planned"
    );
    assert_eq!(
        planned(&["--tag", "Team:shop*", "--tag", "Name:?eb"]),
        "web | planned"
    );
    assert_eq!(
        planned(&["--all"]),
        "db | planned, tool | planned, web | planned"
    );
    assert_eq!(cloud.changes(), 0, "a dry run changes nothing");
}

#[test]
fn the_result_is_a_line_for_each_instance_in_the_zone_of_its_schedule() {
    let cloud = Cloud::with([idle("web"), idle("db")]);
    let output = cloud.run(&["stop", "--all", "--yes"]);
    let lines: Vec<&str> = output.stdout.lines().collect();
    assert_eq!(lines[..2], ["2 instances: 2 stopping", ""], "{output:?}");
    assert_eq!(lines.len(), 5, "{output:?}");
    for (line, name) in lines[3..].iter().zip(["db", "web"]) {
        let is_row = line.contains(&format!("  {name} ")) && line.contains("  stopping  start ");
        assert!(is_row && line.contains(" 00:00 IST  in "), "{line}");
    }
}

#[test]
fn more_than_100_instances_require_all() {
    let cloud = Cloud::with((0..101).map(|n| idle(&format!("web-{n}"))));
    let output = cloud.run(&["stop", "--schedule", "year"]);
    insta::assert_snapshot!(summary(&cloud, &output), @r#"
    2: error: this is for 101 instances, more than 100
      hint: pass --all to select all of them
    "#);
    assert_eq!(cloud.changes(), 0);
    let changes = cloud.json(&["stop", "--schedule", "year", "--all", "--yes"]);
    assert_eq!(changes["instances"].as_array().unwrap().len(), 101);
    assert_eq!(cloud.ec2.calls_of(ApiAction::StopInstances).len(), 2);
}

#[test]
fn a_name_is_enough_if_only_one_instance_has_it() {
    let cloud = Cloud::with([idle("web"), idle("db"), idle("db")]);
    let changes = cloud.json(&["stop", "web"]);
    assert_eq!(
        lines(&changes["instances"], &["state", "result"]),
        ["web | running | stopping"]
    );
    let before = cloud.changes();
    let output = cloud.run(&["stop", "db"]);
    assert_eq!(output.code, 2);
    assert!(
        output
            .stderr
            .starts_with("error: 2 instances are named `db`: `i-")
            && output
                .stderr
                .ends_with("`\n  hint: pass the ID of the one that is meant, or several IDs\n"),
        "{output:?}"
    );
    let output = cloud.run(&["stop", "bd"]);
    insta::assert_snapshot!(summary(&cloud, &output), @r#"
    3: error: there is no instance named `bd`
      hint: check the name, the region and the account; `curfew status --all` lists every instance with the reason it is skipped
    "#);
    assert_eq!(cloud.changes(), before);
    let status = cloud.json(&["status", "web"]);
    assert_eq!(status["instances"].as_array().unwrap().len(), 1);
    let explained = cloud.json(&["explain", "web"]);
    assert_eq!(explained["name"], "web");
    assert_eq!(cloud.run(&["explain", "db"]).code, 2);
    assert_eq!(cloud.run(&["explain", "bd"]).code, 3);
}

#[test]
fn several_instances_need_one_confirmation() {
    let cloud = Cloud::with([idle("web"), idle("db"), idle("tool").tag("Team", "shop")]);
    // One instance needs none, however it is selected.
    cloud.json(&["stop", "--tag", "Team=shop", "--for", "1h"]);
    let before = cloud.changes();
    for command in ["start", "stop", "resume"] {
        let output = cloud.run(&[command, "web", "db"]);
        assert_eq!(output.code, 2, "{output:?}");
        let message = format!(
            "error: refusing to {command} 2 instances without confirmation: standard input is not a terminal\n  \
             hint: pass --yes, or check with --dry-run first\n"
        );
        assert_eq!(output.stderr, message);
    }
    assert_eq!(cloud.changes(), before, "nothing was changed");
    cloud.json(&["stop", "web", "db", "--dry-run"]);

    let mut terminal = Terminal::run(cloud.curfew(&["stop", "web", "db"]));
    terminal
        .until("Stop 2 instances: ")
        .until("? [y/N] ")
        .type_in("n\n");
    let (code, screen) = terminal.end();
    assert_eq!(code, 1);
    assert!(
        screen.ends_with("error: nothing was stopped: not confirmed\n"),
        "{screen}"
    );
    assert_eq!(cloud.changes(), before);

    let mut terminal = Terminal::run(cloud.curfew(&["stop", "--schedule", "year"]));
    terminal.until("? [y/N] ").type_in("y\n");
    let (code, screen) = terminal.end();
    assert_eq!(code, 0, "{screen}");
    assert!(cloud.state("web").starts_with("stop") && cloud.state("db").starts_with("stop"));
    let changes = cloud.json(&["start", "web", "db", "--yes"]);
    assert_eq!(changes["instances"].as_array().unwrap().len(), 2);
}

#[test]
fn only_confirmed_instances_are_changed() {
    let cloud = Cloud::with([idle("web"), idle("db")]);
    let mut terminal = Terminal::run(cloud.curfew(&["stop", "--all"]));
    terminal.until("Stop 2 instances: ").until("? [y/N] ");
    cloud.ec2.launch(idle("late"));
    terminal.type_in("y\n");
    let (code, screen) = terminal.end();
    assert_eq!(code, 0, "{screen}");
    assert_eq!(cloud.state("late"), "running", "{screen}");
    assert!(cloud.state("web").starts_with("stop"), "{screen}");
}

#[test]
fn an_override_ends_at_its_time_or_by_resume() {
    let cloud = Cloud::with([idle("web")]);
    let before = now();
    let changes = cloud.json(&["stop", "--for", "2h", "--by", "bob the builder"]);
    let override_ = &changes["instances"][0]["override"];
    assert_eq!(
        (&override_["state"], &override_["actor"]),
        (&json!("stopped"), &json!("bob the builder"))
    );
    let until: Timestamp = override_["until"].as_str().unwrap().parse().unwrap();
    let length = until.duration_since(before);
    assert!(
        length >= SignedDuration::from_hours(2) && length < SignedDuration::from_mins(121),
        "{length}"
    );
    let tag = cloud.tag("web", "curfew:override").unwrap();
    assert!(
        tag.starts_with("stopped since ")
            && tag.ends_with(&format!(" until {until} by bob the builder")),
        "{tag}"
    );

    cloud.ec2.advance(5.minutes());
    let changes = cloud.json(&["resume"]);
    assert_eq!(
        lines(&changes["instances"], &["result", "override"]),
        ["web | resumed | null"]
    );
    let request = cloud.tag("web", "curfew:request").unwrap();
    assert!(request.contains(" stop by "), "as it is: {request}");
}

#[test]
fn a_time_of_day_is_in_the_zone_of_the_managing_schedule() {
    let cloud = Cloud::with([idle("web"), due("db")]);
    let kolkata = TimeZone::get("Asia/Kolkata").unwrap();
    // The minute that the clock there shows now: its next occurrence is tomorrow.
    let local = now().to_zoned(kolkata.clone());
    let text = local.strftime("%H:%M").to_string();
    let changes = cloud.json(&["start", "--schedule", "year", "--until", &text]);
    let until: Timestamp = changes["instances"][0]["override"]["until"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    let ends = until.to_zoned(kolkata);
    assert_eq!(ends.strftime("%H:%M").to_string(), text);
    assert_eq!(ends.date(), local.date().tomorrow().unwrap());

    // A length needs no zone.
    cloud.json(&["start", "--all", "--until", "2h", "--dry-run"]);
    let output = cloud.run(&["start", "--all", "--until", "22:00"]);
    insta::assert_snapshot!(summary(&cloud, &output), @r#"
    2: error: `--until` is a wall time, but the schedules of these instances use 2 zones: Europe/Paris, Asia/Kolkata
      hint: use an instant, such as 2026-11-27T22:00:00+01:00, or a length, such as 2h30m
    "#);
    let output = cloud.run(&["start", "--all", "--until", "2020-01-01T00:00:00Z"]);
    assert!(
        output.code == 2
            && output
                .stderr
                .starts_with("error: `--until` is over already\n  hint: it is 20"),
        "{output:?}"
    );
}

#[test]
fn a_plain_request_is_accepted_on_an_enforced_schedule() {
    let cloud = Cloud::with([Launch::new("web").tag("Schedule", "strict")]);
    let changes = cloud.json(&["stop"]);
    assert_eq!(
        lines(&changes["instances"], &["result"]),
        ["web | stopping"]
    );
    let request = cloud.tag("web", "curfew:request").unwrap();
    assert!(request.contains(" stop by "), "{request}");
    assert_eq!(cloud.tag("web", "curfew:override"), None);
}

#[test]
fn a_request_during_a_transition_is_deferred() {
    let cloud = Cloud::with([idle("web").stopped()]);
    cloud.json(&["start"]);
    assert_eq!(cloud.state("web"), "pending");
    let changes = cloud.json(&["stop"]);
    assert_eq!(
        lines(&changes["instances"], &["result"]),
        ["web | deferred"]
    );
    let changes = cloud.json(&["stop", "--for", "1h"]);
    assert_eq!(
        lines(&changes["instances"], &["result"]),
        ["web | deferred"]
    );
}
