//! Triggers and state changes: late, repeated and early events lead to the same decision.

use curfew_aws::endpoint_kind::EndpointKind;
use curfew_model::{ApiAction, Launch};
use jiff::SignedDuration;
use serde_json::{Value, json};

use super::world::{World, at_work, event};

fn rule(name: &str) -> Value {
    let mut event = event("localstack-scheduled-rule.json");
    event["resources"][0] = format!("arn:aws:events:us-east-1:000000000000:rule/{name}").into();
    event
}

#[tokio::test]
async fn every_captured_or_documented_event_is_recognised() {
    let world = World::with([at_work("web")]).await;
    let mut names: Vec<String> =
        std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/events"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
    names.sort();
    let mut results = Vec::new();
    for name in names {
        let answer = match world.send(&event(&name)).await {
            Ok(answer) if answer.get("statusCode").is_some() => answer["statusCode"].to_string(),
            Ok(answer) => answer.to_string(),
            Err(failure) => failure.kind,
        };
        results.push(format!("{name}: {answer}"));
    }
    insta::assert_snapshot!(results.join("\n"), @r#"
    aws-function-url-iam-POST-base64.json: 200
    aws-http-api-payload-1.0.json: 200
    aws-http-api.json: 200
    aws-load-balancer.json: unknown_event
    aws-rest-proxy-root-iam-domain.json: 200
    aws-rest-proxy.json: 200
    aws-s3-put.json: unknown_event
    aws-scheduled-event.json: {"at":"2026-11-23T18:00:00Z","failure_count":0,"instance_count":1,"next":{"action":"stop","at":"2026-11-23T19:00:00Z"},"step_count":0}
    aws-scheduler-default.json: {"at":"2026-11-23T18:00:00Z","failure_count":0,"instance_count":1,"next":{"action":"stop","at":"2026-11-23T19:00:00Z"},"step_count":0}
    aws-scheduler-input.json: {"at":"2026-11-23T18:00:00Z","failure_count":0,"instance_count":1,"next":{"action":"stop","at":"2026-11-23T19:00:00Z"},"step_count":0}
    aws-spot-interruption.json: unknown_event
    aws-state-change.json: null
    localstack-rest-GET.json: 404
    localstack-rest-POST.json: 404
    localstack-scheduled-rule.json: {"at":"2026-11-23T18:00:00Z","failure_count":0,"instance_count":1,"next":{"action":"stop","at":"2026-11-23T19:00:00Z"},"step_count":0}
    ministack-http-GET-api.json: 200
    ministack-http-GET-function-url.json: 404
    ministack-rest-DELETE.json: 404
    ministack-rest-GET-query.json: 400
    ministack-rest-GET.json: 200
    ministack-rest-POST-body.json: 400
    ministack-rule-input-transformer.json: {"at":"2026-11-23T18:00:00Z","failure_count":0,"instance_count":1,"next":{"action":"stop","at":"2026-11-23T19:00:00Z"},"step_count":0}
    ministack-scheduled-rule.json: {"at":"2026-11-23T18:00:00Z","failure_count":0,"instance_count":1,"next":{"action":"stop","at":"2026-11-23T19:00:00Z"},"step_count":0}
    ministack-scheduler-schedule.json: {"at":"2026-11-23T18:00:00Z","failure_count":0,"instance_count":1,"next":{"action":"stop","at":"2026-11-23T19:00:00Z"},"step_count":0}
    "#);
    assert_eq!(
        world.changes(),
        0,
        "no event requests a change, and no edge is due"
    );
}

#[tokio::test]
async fn every_form_of_trigger_applies_a_due_stop_once() {
    for event in [
        json!({"command": "wake", "cron": "cron(0 19 ? * MON-FRI *)"}),
        json!({"command": "wake", "schedule": "office"}),
        json!({"command": "wake"}),
        rule("curfew-curfew-edges-3f2a9c"),
        rule("every-minute"),
        event("ministack-scheduler-schedule.json"),
        event("ministack-rule-input-transformer.json"),
    ] {
        let world = World::with([at_work("web"), Launch::new("stray")]).await;
        world.ec2.advance(SignedDuration::from_hours(1));
        let report = world.send(&event).await.unwrap();
        assert_eq!(
            (&report["step_count"], &report["failure_count"]),
            (&json!(1), &json!(0)),
            "{event}"
        );
        assert_eq!(
            (world.state("web").as_str(), world.state("stray").as_str()),
            ("stopping", "running")
        );
        assert_eq!(
            world.tag("web", "curfew:last").as_deref(),
            Some("2026-11-23T19:00:00Z stop schedule office pending")
        );
        for wait in [0, 1, 60] {
            world.ec2.advance(SignedDuration::from_mins(wait));
            world.send(&event).await.unwrap();
        }
        assert_eq!(
            world.ec2.calls_of(ApiAction::StopInstances).len(),
            1,
            "{event}"
        );
    }
}

#[tokio::test]
async fn an_emulator_rule_up_to_a_minute_early_applies_the_edges_of_its_minute() {
    let world = World::with([at_work("web")]).await;
    world.ec2.advance(SignedDuration::from_secs(3600 - 40));
    for other in [
        json!({"command": "wake"}),
        json!({"command": "wake", "cron": "cron(0 20 ? * MON-FRI *)"}),
        json!({"command": "wake", "schedule": "gone"}),
    ] {
        world.send(&other).await.unwrap();
        assert_eq!(world.state("web"), "running", "{other}");
    }
    let rule = json!({"command": "wake", "cron": "cron(0 19 ? * MON-FRI *)"});
    let report = world.send(&rule).await.unwrap();
    assert_eq!(
        report["at"], "2026-11-23T19:00:00Z",
        "the pass decides at the rule's minute"
    );
    assert_eq!(world.state("web"), "stopping");
}

#[tokio::test]
async fn an_aws_rule_may_be_five_seconds_early() {
    let mut world = World::with([at_work("web")]).await;
    world.app.cloud = EndpointKind::Aws;
    let rule = json!({"command": "wake", "cron": "cron(0 19 ? * MON-FRI *)"});
    world.ec2.advance(SignedDuration::from_secs(3600 - 40));
    world.send(&rule).await.unwrap();
    assert_eq!(world.state("web"), "running");
    world.ec2.advance(SignedDuration::from_secs(38));
    world.send(&rule).await.unwrap();
    assert_eq!(world.state("web"), "stopping");
}

#[tokio::test]
async fn a_trigger_cannot_make_a_pass_decide_for_the_future() {
    let world = World::with([at_work("web")]).await;
    let home = json!({"region": "us-east-1"});
    let far = json!({"command": "wake", "account_region": home, "at": "2026-11-23T19:00:00Z"});
    world.send(&far).await.unwrap();
    let event = json!({
        "source": "aws.events", "detail-type": "Scheduled Event", "detail": {}, "time": "2026-11-23T19:00:00Z",
    });
    world.send(&event).await.unwrap();
    assert_eq!(world.state("web"), "running");
}

#[tokio::test]
async fn a_trigger_for_a_removed_schedule_runs_a_routine_pass() {
    let world = World::with([at_work("web")]).await;
    world.ec2.advance(SignedDuration::from_hours(1));
    world
        .send(&json!({"command": "wake", "schedule": "retired"}))
        .await
        .unwrap();
    assert_eq!(world.state("web"), "stopping");
}

#[tokio::test]
async fn a_state_change_without_enforcement_or_override_is_only_logged() {
    let world = World::with([at_work("web")]).await;
    world.ec2.stop(&world.id("web")).unwrap();
    world.ec2.advance(SignedDuration::from_mins(1));
    for event in world.ec2.drain_events() {
        assert_eq!(world.send(&event).await, Ok(Value::Null), "{event}");
    }
    assert_eq!(
        world.state("web"),
        "stopped",
        "a manual stop lasts until the next edge"
    );
    assert_eq!(world.changes(), 0);
    assert_eq!(
        world.ec2.calls_of(ApiAction::DescribeInstances).len(),
        1,
        "`stopping` needs no description"
    );
}

#[tokio::test]
async fn drift_from_an_enforced_schedule_is_corrected() {
    let world = World::with([
        Launch::new("lab")
            .tag("Schedule", "lab")
            .tag("curfew:last", "2026-11-23T07:00:00Z start schedule lab"),
        at_work("web"),
    ])
    .await;
    world.ec2.stop(&world.id("lab")).unwrap();
    world.ec2.advance(SignedDuration::from_mins(1));
    let events = world.ec2.drain_events();
    for event in &events {
        world.send(event).await.unwrap();
    }
    assert_eq!(world.state("lab"), "pending");
    for event in events.iter().rev() {
        world.send(event).await.unwrap();
    }
    assert_eq!(
        world.ec2.calls_of(ApiAction::StartInstances).len(),
        1,
        "late and repeated events change nothing"
    );
}

#[tokio::test]
async fn drift_from_an_override_is_corrected() {
    let world = World::with([at_work("web")]).await;
    world.get("/stop?for=1h").await;
    world.ec2.advance(SignedDuration::from_mins(1));
    world.ec2.start(&world.id("web")).unwrap();
    world.ec2.advance(SignedDuration::from_mins(1));
    for event in world.ec2.drain_events() {
        world.send(&event).await.unwrap();
    }
    assert_eq!(world.state("web"), "stopping");
}

#[tokio::test]
async fn a_state_change_of_an_unknown_instance_is_only_logged() {
    let world = World::with([]).await;
    let event = json!({
        "detail-type": "EC2 Instance State-change Notification", "source": "aws.ec2", "time": "2026-11-23T18:00:00Z",
        "region": "us-east-1", "detail": {"instance-id": "i-0abc1234def567890", "state": "stopped"},
    });
    assert_eq!(world.send(&event).await, Ok(Value::Null));
}

#[tokio::test]
async fn an_unknown_event_fails_without_an_aws_call() {
    let world = World::with([at_work("web")]).await;
    let failure = world.send(&json!({"Records": []})).await.unwrap_err();
    assert_eq!(failure.kind, "unknown_event");
    assert!(world.ec2.calls().is_empty() && world.ssm.reads() == 0);
}
