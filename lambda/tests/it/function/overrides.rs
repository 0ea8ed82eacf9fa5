//! Holds over HTTP, and how they and plain requests meet the schedules.

use curfew_model::Launch;
use jiff::SignedDuration;
use serde_json::json;

use super::world::{World, at_work};

fn wake(schedule: &str) -> serde_json::Value {
    json!({"command": "wake", "schedule": schedule})
}

#[tokio::test]
async fn an_override_outlives_the_edge_and_ends_like_one() {
    let world = World::with([at_work("web")]).await;
    let answer = world.get("/start?for=3h").await;
    insta::assert_snapshot!(answer.of_instances(&["result", "reason", "override", "next_edge"]).join("\n"), @r#"web | overridden | override by http 127.0.0.1 | {"by":"http 127.0.0.1","since":"2026-11-23T18:00:00Z","state":"running","until":"2026-11-23T21:00:00Z"} | {"action":"stop","at":"2026-11-23T21:00:00Z"}"#);
    assert_eq!(
        world.tag("web", "curfew:override").as_deref(),
        Some("running since 2026-11-23T18:00:00Z until 2026-11-23T21:00:00Z by http 127.0.0.1")
    );
    world.ec2.advance(SignedDuration::from_mins(61));
    world.send(&wake("office")).await.unwrap();
    assert_eq!(world.state("web"), "running", "held over the stop at 20:00");
    world.ec2.advance(SignedDuration::from_hours(2));
    world.send(&wake("office")).await.unwrap();
    assert_eq!(
        world.state("web"),
        "stopping",
        "the override's end is an edge"
    );
}

#[tokio::test]
async fn resume_ends_the_override_and_does_what_the_schedule_wants() {
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
        answer.of_instances(&["before", "result", "override"]),
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
async fn on_an_enforced_schedule_a_plain_request_stands_until_the_next_edge() {
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
async fn a_stop_of_an_instance_that_is_just_starting_waits_until_it_runs() {
    let world = World::with([at_work("web").stopped()]).await;
    world.get("/start").await;
    assert_eq!(world.state("web"), "pending");
    let plain = world.get("/stop").await;
    insta::assert_snapshot!(plain.of_instances(&["result", "reason"]).join("\n"), @"web | postponed | request by http 127.0.0.1: it is pending now; a later pass makes it stopped");
    assert_eq!(plain.status, 200);
    let override_ = world.get("/stop?for=1h").await;
    insta::assert_snapshot!(override_.of_instances(&["result", "reason"]).join("\n"), @"web | postponed | override by http 127.0.0.1: it is pending now; a later pass makes it stopped");
    assert_eq!(override_.status, 200);
    world.ec2.advance(SignedDuration::from_mins(1));
    world.send(&wake("office")).await.unwrap();
    assert_eq!(
        world.state("web"),
        "stopping",
        "a later pass carries it out"
    );
}
