//! EventBridge delivers at least once: an event that comes twice, out of order or an hour late changes nothing that one delivery in
//! time would not have changed.

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

/// Every event that belongs to the stop at 20:00, and some that don't.
fn around_the_stop() -> [Value; 5] {
    [
        rule("curfew-curfew-office-stop-3f2a9c"),
        // Compiled to UTC for the other half of the year: it fires at an hour that is no edge.
        rule("curfew-curfew-office-stop-77aa00"),
        rule("curfew-curfew-office-start-00ff00"),
        rule("curfew-curfew-heartbeat-3f2a9c"),
        event("aws-scheduler-default.json"),
    ]
}

/// Of all orders, those that begin with each event, forwards and backwards.
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

fn acts(world: &World) -> (usize, usize) {
    let calls = |action| world.ec2.calls_of(action).len();
    (
        calls(ApiAction::StopInstances),
        calls(ApiAction::StartInstances),
    )
}

#[tokio::test]
async fn in_any_order_and_twice_the_events_of_an_edge_make_one_stop() {
    for order in orders(&around_the_stop()) {
        let world = World::with([at_work("web"), Launch::new("stray")]).await;
        world.ec2.advance(SignedDuration::from_hours(1));
        for event in order.iter().flat_map(|event| [event, event]) {
            world.send(event).await.unwrap();
            world.ec2.advance(SignedDuration::from_secs(20));
        }
        assert_eq!(acts(&world), (1, 0), "{order:?}");
        assert_eq!(world.state("stray"), "running");
        let last = "2026-11-23T19:00:00Z stop schedule office";
        assert_eq!(world.tag("web", "curfew:last").as_deref(), Some(last));
    }
}

#[tokio::test]
async fn an_hour_late_is_in_time_and_once() {
    let world = World::with([at_work("web")]).await;
    world.ec2.advance(SignedDuration::from_hours(2));
    world.send(&wake("office")).await.unwrap();
    assert_eq!(
        world.state("web"),
        "stopping",
        "nothing else has woken it meanwhile"
    );
    world.ec2.advance(SignedDuration::from_hours(1));
    for event in around_the_stop() {
        world.send(&event).await.unwrap();
    }
    assert_eq!(acts(&world), (1, 0));
}

#[tokio::test]
async fn an_event_that_comes_again_an_hour_later_does_not_undo_what_somebody_did_meanwhile() {
    // By hand, by a request, and by an override.
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
        assert_eq!(acts(&world).0, 1, "{how}");
        let mut after = (
            world.tag("web", "curfew:last"),
            world.tag("web", "curfew:override"),
        );
        if how != "console" {
            // A start is noted as done once the instance was seen running.
            let settled = before.0.clone().map(|last| last.replace(" pending", ""));
            assert_eq!(after.0, settled);
        }
        // A console start after the edge is noted as that: the edge is dealt with.
        after.0 = after.0.map(|last| last.replace(" pending", ""));
        let before = (before.0.map(|last| last.replace(" pending", "")), before.1);
        assert_eq!(after, before, "{how}");
    }
}

#[tokio::test]
async fn the_start_of_yesterday_is_not_made_up_for_after_the_stop() {
    let world = World::with([at_work("web")]).await;
    world.ec2.advance(SignedDuration::from_hours(1));
    world
        .send(&rule("curfew-curfew-office-stop-3f2a9c"))
        .await
        .unwrap();
    world.ec2.advance(SignedDuration::from_mins(10));
    // This morning's, which EventBridge has kept for the whole day.
    world
        .send(&rule("curfew-curfew-office-start-00ff00"))
        .await
        .unwrap();
    assert_eq!(
        (world.state("web").as_str(), acts(&world)),
        ("stopped", (1, 0))
    );
}

#[tokio::test]
async fn state_changes_in_any_order_and_twice_make_one_step() {
    let enforced = || {
        Launch::new("lab")
            .tag("Schedule", "lab")
            .tag("curfew:last", "2026-11-23T07:00:00Z start schedule lab")
    };
    let told = {
        let world = World::with([enforced()]).await;
        world.ec2.stop(&world.id("lab")).unwrap();
        world.ec2.advance(SignedDuration::from_mins(1));
        world.ec2.drain_events()
    };
    assert_eq!(told.len(), 2, "stopping and stopped");
    for order in orders(&told) {
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
        // An hour later the schedule itself wants it stopped, whatever the old events say.
        assert_eq!(acts(&world), (1, 1), "{order:?}");
    }
}

#[tokio::test]
async fn a_request_that_a_client_repeats_is_carried_out_once() {
    let world = World::with([at_work("web")]).await;
    let until = "/stop?until=2026-11-23T22:00:00Z";
    for _ in 0..3 {
        assert_eq!(world.post(until, "").await.status, 200);
        world.ec2.advance(SignedDuration::from_secs(30));
    }
    assert_eq!(acts(&world), (1, 0));
    let override_ = world.tag("web", "curfew:override").unwrap();
    assert!(
        override_.ends_with("until 2026-11-23T22:00:00Z by http 127.0.0.1"),
        "{override_}"
    );
}
