//! `curfew explain INSTANCE`: the reasons for the state of an instance.

use curfew_core::instance::{AccountId, InstanceState, Region, ResourceKind};
use curfew_core::transition::{Transition, TransitionSource};
use curfew_journal::{Journal, TransitionRecord};
use curfew_model::Launch;

use crate::commands::cloud::{Cloud, due, idle};

#[test]
fn explain_prints_every_input_of_the_decision() {
    let cloud = Cloud::with([idle("web")
        .tag("curfew:last", "2026-01-01T00:00:00Z start request by bob")
        .tag(
            "curfew:override",
            "running since 2026-01-01T00:00:00Z until 2199-01-01T00:00:00Z by alice",
        )]);
    let web = cloud.id("web");
    let mut journal = Journal::open(cloud.directory.path()).unwrap();
    let transition = Transition {
        kind: ResourceKind::Instance,
        instance: web.as_str().parse().unwrap(),
        name: Some("web".into()),
        from: InstanceState::Pending,
        to: InstanceState::Running,
        at: "2026-01-01T00:00:09Z".parse().unwrap(),
        cause: "request by bob".parse().unwrap(),
        schedule: Some("year".parse().unwrap()),
        region: Region::new("us-east-1"),
        account: AccountId::new("123456789012"),
        edge: None,
        source: TransitionSource::Poll,
        actor: None,
        instance_type: None,
    };
    let record = TransitionRecord {
        instance: transition.instance.clone(),
        transition: Some(transition),
        event: None,
        known_state: None,
    };
    journal.record(&[record]).unwrap();

    let at = "2026-01-01T12:00:00Z";
    let explained = cloud.json(&["explain", web.as_str(), "--at", at]);
    assert_eq!(explained["managed"]["by"], "tag");
    assert_eq!(explained["override"]["actor"], "alice");
    assert_eq!(explained["last_applied"]["cause"], "request by bob");
    assert_eq!(explained["transitions"][0]["to"], "running");
    let output = cloud.run(&["explain", web.as_str(), "--at", at]);
    insta::assert_snapshot!(output.stdout.replace(web.as_str(), "i-web"), @r#"
    i-web (web) is running, in us-east-1 of account 000000000000
      schedule   year: its tag `Schedule` names it
      override   running until Tue 1 Jan 2199 05:30 IST (in 173 years) by alice
      applied    start Thu 1 Jan 05:30 IST (12 h ago), request by bob
      desired    running: the override by alice
      now        an override by alice keeps it running until Tue 1 Jan 2199 05:30 IST
      last edge  start Thu 1 Jan 00:00 IST (18 h ago)
      next edge  start Tue 1 Jan 2199 05:30 IST (in 173 years)
      was        pending → running Thu 1 Jan 05:30 IST (12 h ago), request by bob
    "#);
}

#[test]
fn a_pending_request_is_shown_as_not_confirmed() {
    let last = "2026-01-01T00:00:00Z stop request by bob pending";
    let cloud = Cloud::with([idle("web").stopped().tag("curfew:last", last)]);
    let web = cloud.id("web");
    let output = cloud.run(&["explain", web.as_str(), "--at", "2026-01-01T12:00:00Z"]);
    let applied = "stop Thu 1 Jan 05:30 IST (12 h ago), request by bob, not confirmed yet";
    assert!(output.stdout.contains(applied), "{}", output.stdout);
}

#[test]
fn a_missing_journal_or_schedule_is_reported() {
    let cloud = Cloud::with([Launch::new("stray"), due("web")]);
    let stray = cloud.id("stray");
    let output = cloud.run(&["explain", stray.as_str()]);
    insta::assert_snapshot!(output.stdout.replace(stray.as_str(), "i-stray"), @r#"
    i-stray (stray) is running, in us-east-1 of account 000000000000
      schedule   -
      override   -
      applied    -
      desired    unmanaged
      now        no schedule manages it: it has no managing tag, and no schedule's `match` takes it
      last edge  -
      next edge  -
      journal    none on this machine
    "#);
    let web = cloud.id("web");
    let explained = cloud.json(&["explain", web.as_str()]);
    assert_eq!(explained["step"]["action"], "stop");
    assert_eq!(
        explained["verdict"],
        "a pass would stop it (schedule night)"
    );
    assert!(explained["transitions"].is_null());
    assert_eq!(cloud.run(&["explain", "i-0abc1234def567890"]).code, 3);
}

#[test]
fn retries_and_a_fallback_type_are_reported() {
    let cloud = Cloud::with([idle("web")
        .stopped()
        .instance_type("t3a.micro")
        .tag(
            "curfew:retry",
            "2025-12-31T18:30:00Z start 3x InsufficientInstanceCapacity first 2026-01-01T11:30:00Z next 2026-01-01T12:30:00Z",
        )
        .tag("curfew:last", "2025-12-31T18:30:00Z start schedule year pending")
        .tag("curfew:type", "t3.micro as t3a.micro")]);
    let configuration = crate::commands::cloud::CONFIGURATION.replace(
        "start = \"0 0 1 1 *\"",
        "start = \"0 0 1 1 *\"\nfallback_types = ['t3a.micro']",
    );
    std::fs::write(cloud.directory.path().join("curfew.toml"), configuration).unwrap();
    let web = cloud.id("web");
    let output = cloud.run(&["explain", web.as_str(), "--at", "2026-01-01T12:00:00Z"]);
    let lines: Vec<&str> = output
        .stdout
        .lines()
        .filter(|line| line.starts_with("  retry") || line.starts_with("  type"))
        .collect();
    let expected = [
        "  retry      start failed 3 times, last with InsufficientInstanceCapacity; next attempt Thu 1 Jan 18:00 IST (in 30 min)",
        "  type       t3a.micro until t3.micro is available again",
    ];
    assert_eq!(lines, expected, "{output:?}");
}
