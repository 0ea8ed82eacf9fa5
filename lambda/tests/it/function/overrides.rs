//! Overrides and plain requests over HTTP, and their interaction with schedules.

use curfew_model::Launch;
use jiff::SignedDuration;
use serde_json::json;

use super::world::{World, at_work};

fn wake(schedule: &str) -> serde_json::Value {
    json!({"command": "wake", "schedule": schedule})
}

#[tokio::test]
async fn an_override_outlasts_an_edge_and_its_end_is_applied() {
    let world = World::with([at_work("web")]).await;
    let answer = world.get("/start?for=3h").await;
    insta::assert_snapshot!(answer.of_instances(&["result", "reason", "override", "next"]).join("\n"), @r#"web | overridden | override by http 127.0.0.1 | {"actor":"http 127.0.0.1","since":"2026-11-23T18:00:00Z","state":"running","until":"2026-11-23T21:00:00Z"} | {"action":"stop","at":"2026-11-23T21:00:00Z"}"#);
    assert_eq!(
        world.tag("web", "curfew:override").as_deref(),
        Some("running since 2026-11-23T18:00:00Z until 2026-11-23T21:00:00Z by http 127.0.0.1")
    );
    world.ec2.advance(SignedDuration::from_mins(61));
    world.send(&wake("office")).await.unwrap();
    assert_eq!(
        world.state("web"),
        "running",
        "the override outlasts the stop at 20:00"
    );
    world.ec2.advance(SignedDuration::from_hours(2));
    world.send(&wake("office")).await.unwrap();
    assert_eq!(
        world.state("web"),
        "stopping",
        "the override's end is an edge"
    );
}

/// It is 19:00 in Paris and 23:30 in Kolkata.
#[tokio::test]
async fn an_override_until_a_wall_time_ends_in_the_zone_of_the_schedule() {
    let kolkata = Launch::new("kolkata").tag("Schedule", "Mon-Fri 09:30-18:30 Asia/Kolkata");
    let world = World::with([at_work("web"), kolkata]).await;
    for (instance, until, end) in [
        ("web", "22:00", "2026-11-23T21:00:00Z"),
        ("web", "friday 18:00", "2026-11-27T17:00:00Z"),
        ("web", "2h30m", "2026-11-23T20:30:00Z"),
        ("kolkata", "2026-11-24T10:00", "2026-11-24T04:30:00Z"),
    ] {
        let path = format!("/start?instance={instance}&until={until}&dry_run=true");
        let answer = world.get(&path).await;
        let override_ = &answer.body["instances"][0]["override"];
        assert_eq!(override_["until"], *end, "{until}: {answer:?}");
    }
    for (path, message) in [
        (
            "/start?all=true&until=22:00",
            "`until` is a wall time, but the schedules of these instances use 2 zones: ",
        ),
        ("/start?instance=web&until=today", "`until` is over already"),
        (
            "/start?instance=web&until=2027-11-23",
            "`until` is too far away",
        ),
    ] {
        let answer = world.get(path).await;
        assert_eq!(answer.status, 400, "{path}: {answer:?}");
        let found = answer.body["error"]["message"].as_str().unwrap();
        assert!(found.starts_with(message), "{path}: {found}");
    }
    assert_eq!(world.changes(), 0);
}

#[tokio::test]
async fn resume_ends_the_override_and_applies_the_schedule() {
    let world = World::with([at_work("web")]).await;
    world
        .post("/stop", r#"{"until": "2026-11-23T23:30:00+01:00"}"#)
        .await;
    assert_eq!(
        world.tag("web", "curfew:override").as_deref(),
        Some("stopped since 2026-11-23T18:00:00Z until 2026-11-23T22:30:00Z by http 127.0.0.1")
    );
    world.ec2.advance(SignedDuration::from_mins(10));
    let answer = world.post("/resume", "").await;
    assert_eq!(
        answer.of_instances(&["state", "result", "override"]),
        ["web | stopped | starting | null"]
    );
    assert_eq!(
        world.tag("web", "curfew:request").as_deref(),
        Some("2026-11-23T18:10:00Z start by http 127.0.0.1")
    );
    world.ec2.advance(SignedDuration::from_mins(10));
    let answer = world.post("/resume", "").await;
    assert_eq!(
        answer.of_instances(&["result", "reason"]),
        ["web | resumed | request by http 127.0.0.1"]
    );
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn a_request_on_an_enforced_schedule_lasts_until_the_next_edge() {
    let world = World::with([Launch::new("lab").tag("Schedule", "lab")]).await;
    let answer = world.get("/stop").await;
    assert_eq!(answer.of_instances(&["result"]), ["lab | stopping"]);
    assert_eq!(
        world.tag("lab", "curfew:request").as_deref(),
        Some("2026-11-23T18:00:00Z stop by http 127.0.0.1")
    );
    world.ec2.advance(SignedDuration::from_mins(5));
    world.send(&wake("lab")).await.unwrap();
    assert_eq!(world.state("lab"), "stopped");
}

#[tokio::test]
async fn a_stop_of_a_starting_instance_is_deferred() {
    let world = World::with([at_work("web").stopped()]).await;
    world.get("/start").await;
    assert_eq!(world.state("web"), "pending");
    let plain = world.get("/stop").await;
    insta::assert_snapshot!(plain.of_instances(&["result", "reason"]).join("\n"), @"web | deferred | request by http 127.0.0.1: it is pending now; a later pass makes it stopped");
    assert_eq!(plain.status, 200);
    let override_ = world.get("/stop?for=1h").await;
    insta::assert_snapshot!(override_.of_instances(&["result", "reason"]).join("\n"), @"web | deferred | override by http 127.0.0.1: it is pending now; a later pass makes it stopped");
    assert_eq!(override_.status, 200);
    world.ec2.advance(SignedDuration::from_mins(1));
    world.send(&wake("office")).await.unwrap();
    assert_eq!(
        world.state("web"),
        "stopping",
        "a later pass carries it out"
    );
}
