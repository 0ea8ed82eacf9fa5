//! EventBridge delivers at least once. An event that is delivered twice, out of order or late has the same effect as one delivery in
//! time.

use curfew_model::{ApiAction, Launch};
use jiff::SignedDuration;
use serde_json::{Value, json};

use super::world::{World, at_work, event};

fn wake(schedule: &str) -> Value {
    json!({"command": "wake", "schedule": schedule})
}

fn rule(name: &str) -> Value {
    let mut event = event("aws-scheduled-event.json");
    event["resources"][0] = format!("arn:aws:events:eu-west-3:123456789012:rule/{name}").into();
    event
}

/// The events of the stop at 20:00, and some of other edges.
fn around_the_stop() -> [Value; 5] {
    [
        rule("curfew-curfew-office-stop-3f2a9c"),
        // Compiled for the zone's other UTC offset: it fires an hour off the edge.
        rule("curfew-curfew-office-stop-77aa00"),
        rule("curfew-curfew-office-start-00ff00"),
        rule("curfew-curfew-heartbeat-3f2a9c"),
        event("aws-scheduler-default.json"),
    ]
}

/// All rotations of the events, forwards and backwards.
fn orders<T: Clone>(events: &[T]) -> Vec<Vec<T>> {
    let turned = |by: usize| {
        let mut order = events.to_vec();
        order.rotate_left(by);
        order
    };
    let forwards: Vec<Vec<T>> = (0..events.len()).map(turned).collect();
    let backwards = forwards
        .iter()
        .map(|order| order.iter().rev().cloned().collect());
    forwards.iter().cloned().chain(backwards).collect()
}

fn stops_and_starts(world: &World) -> (usize, usize) {
    let calls = |action| world.ec2.calls_of(action).len();
    (
        calls(ApiAction::StopInstances),
        calls(ApiAction::StartInstances),
    )
}

#[tokio::test]
async fn repeated_and_reordered_events_of_an_edge_make_one_stop() {
    for order in orders(&around_the_stop()) {
        let world = World::with([at_work("web"), Launch::new("stray")]).await;
        world.ec2.advance(SignedDuration::from_hours(1));
        for event in order.iter().flat_map(|event| [event, event]) {
            world.send(event).await.unwrap();
            world.ec2.advance(SignedDuration::from_secs(20));
        }
        assert_eq!(stops_and_starts(&world), (1, 0), "{order:?}");
        assert_eq!(world.state("stray"), "running");
        let last = "2026-11-23T19:00:00Z stop schedule office";
        assert_eq!(world.tag("web", "curfew:last").as_deref(), Some(last));
    }
}

#[tokio::test]
async fn a_trigger_an_hour_late_applies_the_edge_once() {
    let world = World::with([at_work("web")]).await;
    world.ec2.advance(SignedDuration::from_hours(2));
    world.send(&wake("office")).await.unwrap();
    assert_eq!(
        world.state("web"),
        "stopping",
        "no other event was delivered before"
    );
    world.ec2.advance(SignedDuration::from_hours(1));
    for event in around_the_stop() {
        world.send(&event).await.unwrap();
    }
    assert_eq!(stops_and_starts(&world), (1, 0));
}

#[tokio::test]
async fn a_repeated_event_does_not_undo_a_later_change_by_a_person() {
    // In the console, by a request, and by an override.
    for how in ["console", "/start", "/start?for=8h"] {
        let world = World::with([at_work("web")]).await;
        world.ec2.advance(SignedDuration::from_hours(1));
        world.send(&wake("office")).await.unwrap();
        world.ec2.advance(SignedDuration::from_mins(10));
        assert_eq!(world.state("web"), "stopped");
        match how {
            "console" => world.ec2.start(&world.id("web")).unwrap(),
            request => assert_eq!(world.get(request).await.status, 200),
        }
        world.ec2.advance(SignedDuration::from_hours(1));
        let before = (
            world.tag("web", "curfew:last"),
            world.tag("web", "curfew:override"),
        );
        for event in around_the_stop() {
            world.send(&event).await.unwrap();
        }
        assert_eq!(world.state("web"), "running", "{how}");
        assert_eq!(stops_and_starts(&world).0, 1, "{how}");
        let mut after = (
            world.tag("web", "curfew:last"),
            world.tag("web", "curfew:override"),
        );
        if how != "console" {
            // A start is recorded as settled once the instance is observed running.
            let settled = before.0.clone().map(|last| last.replace(" pending", ""));
            assert_eq!(after.0, settled);
        }
        // A console start after the edge settles the edge.
        after.0 = after.0.map(|last| last.replace(" pending", ""));
        let before = (before.0.map(|last| last.replace(" pending", "")), before.1);
        assert_eq!(after, before, "{how}");
    }
}

#[tokio::test]
async fn a_late_start_event_does_not_undo_a_newer_stop() {
    let world = World::with([at_work("web")]).await;
    world.ec2.advance(SignedDuration::from_hours(1));
    world
        .send(&rule("curfew-curfew-office-stop-3f2a9c"))
        .await
        .unwrap();
    world.ec2.advance(SignedDuration::from_mins(10));
    // This morning's event, delivered late.
    world
        .send(&rule("curfew-curfew-office-start-00ff00"))
        .await
        .unwrap();
    assert_eq!(
        (world.state("web").as_str(), stops_and_starts(&world)),
        ("stopped", (1, 0))
    );
}

#[tokio::test]
async fn repeated_and_reordered_state_changes_make_one_step() {
    let enforced = || {
        Launch::new("lab")
            .tag("Schedule", "lab")
            .tag("curfew:last", "2026-11-23T07:00:00Z start schedule lab")
    };
    let events = {
        let world = World::with([enforced()]).await;
        world.ec2.stop(&world.id("lab")).unwrap();
        world.ec2.advance(SignedDuration::from_mins(1));
        world.ec2.drain_events()
    };
    assert_eq!(events.len(), 2, "stopping and stopped");
    for order in orders(&events) {
        let world = World::with([enforced()]).await;
        world.ec2.stop(&world.id("lab")).unwrap();
        world.ec2.advance(SignedDuration::from_mins(1));
        for event in order.iter().flat_map(|event| [event, event]) {
            world.send(event).await.unwrap();
        }
        world.ec2.advance(SignedDuration::from_hours(1));
        for event in &order {
            world.send(event).await.unwrap();
        }
        // An hour later the desired state is stopped, whatever the old events contain.
        assert_eq!(stops_and_starts(&world), (1, 1), "{order:?}");
    }
}

#[tokio::test]
async fn a_repeated_request_is_carried_out_once() {
    let world = World::with([at_work("web")]).await;
    let until = "/stop?until=2026-11-23T22:00:00Z";
    for _ in 0..3 {
        assert_eq!(world.post(until, "").await.status, 200);
        world.ec2.advance(SignedDuration::from_secs(30));
    }
    assert_eq!(stops_and_starts(&world), (1, 0));
    let override_ = world.tag("web", "curfew:override").unwrap();
    assert!(
        override_.ends_with("until 2026-11-23T22:00:00Z by http 127.0.0.1"),
        "{override_}"
    );
}
