//! Responses to requests with failing AWS calls.

use std::time::Duration;

use curfew_lambda::invocation_context::InvocationContext;
use curfew_model::{ApiAction, Denial, Fault, Symptom};

use super::world::{World, at_work, request};

#[tokio::test]
async fn a_failing_instance_is_reported_and_does_not_block_the_others() {
    let world = World::with([
        at_work("web"),
        at_work("protected").stop_protection(),
        at_work("db"),
    ])
    .await;
    let answer = world.get("/stop?all=true").await;
    assert_eq!(answer.status, 202, "{}", answer.text);
    let reason = answer.of_instances(&["reason"]).join("\n");
    let reason = reason.replace(world.id("protected").as_str(), "ID");
    insta::assert_snapshot!(reason, @"
    db | request by http 127.0.0.1
    protected | `ec2:StopInstances` was refused: The instance 'ID' may not be stopped. Modify its 'disableApiStop' instance attribute and try again; it is recorded, and retried at 2026-11-23T18:01:00Z
    web | request by http 127.0.0.1
    ");
    assert_eq!(
        answer.of_instances(&["after", "result"]),
        [
            "db | stopping | stopping",
            "protected | running | recorded",
            "web | stopping | stopping"
        ]
    );
    assert_eq!(
        world.tag("protected", "curfew:last").as_deref(),
        Some("2026-11-23T07:00:00Z start schedule office")
    );
}

#[tokio::test]
async fn a_failed_call_keeps_the_override_active() {
    let world = World::with([at_work("web").stop_protection()]).await;
    let answer = world.get("/stop?for=2h").await;
    assert_eq!(answer.status, 202, "{}", answer.text);
    let override_ = answer.body["instances"][0]["override"]["until"].as_str();
    assert_eq!(override_, Some("2026-11-23T20:00:00Z"), "{}", answer.text);
    assert!(world.tag("web", "curfew:override").is_some());
}

#[tokio::test]
async fn a_call_that_fails_is_recorded_and_made_by_a_later_pass() {
    for (status, code) in [
        (403, "UnauthorizedOperation"),
        (503, "RequestLimitExceeded"),
        (500, "InternalError"),
        (400, "IncorrectInstanceState"),
        (400, "UnsupportedOperation"),
    ] {
        let mut world = World::with([at_work("web")]).await;
        world
            .ec2
            .fault(Fault::error(ApiAction::StopInstances, status, code));
        let answer = world.get("/stop").await;
        assert_eq!(answer.status, 202, "{code}: {}", answer.text);
        assert_eq!(
            answer.of_instances(&["after", "result"]),
            ["web | running | recorded"]
        );
        assert_eq!(
            world.tag("web", "curfew:request").as_deref(),
            Some("2026-11-23T18:00:00Z stop by http 127.0.0.1")
        );
        let reason = answer.body["instances"][0]["reason"].as_str().unwrap();
        assert!(reason.contains("it is recorded, and "), "{reason}");
        world.ec2.clear_faults();
        world.ec2.advance(jiff::SignedDuration::from_mins(5));
        world.in_another_environment().await;
        let wake = serde_json::json!({"command": "wake"});
        world.send(&wake).await.unwrap();
        assert_eq!(world.state("web"), "stopping", "{code}");
    }
}

#[tokio::test]
async fn each_kind_of_tagging_failure_has_its_status() {
    let mut told = Vec::new();
    for (status, code) in [
        (403, "UnauthorizedOperation"),
        (503, "RequestLimitExceeded"),
        (400, "ExpiredToken"),
        (500, "InternalError"),
    ] {
        let world = World::with([at_work("web")]).await;
        world
            .ec2
            .fault(Fault::error(ApiAction::CreateTags, status, code));
        let answer = world.get("/stop").await;
        told.push(format!(
            "{code}: {} Retry-After {}",
            answer.error_text(),
            answer.headers["Retry-After"]
        ));
        assert_eq!(
            world.state("web"),
            "running",
            "no call without a recorded request"
        );
    }
    let told = told
        .join("\n")
        .replace(World::with([at_work("web")]).await.id("web").as_str(), "ID");
    insta::assert_snapshot!(told, @r#"
    UnauthorizedOperation: 403 denied: 1 of 1 failed: `ID`: `ec2:CreateTags` was denied: Injected by the test; grant this action to the role or user; docs/reference/iam.md lists what Curfew needs and why Retry-After null
    RequestLimitExceeded: 429 throttled: 1 of 1 failed: `ID`: `ec2:CreateTags` was throttled: Injected by the test; retry in a few seconds Retry-After "5"
    ExpiredToken: 503 no_credentials: 1 of 1 failed: `ID`: `ec2:CreateTags` found its credentials expired: Injected by the test; the function's role is broken; its operator finds details in the function's log Retry-After "30"
    InternalError: 503 upstream_error: 1 of 1 failed: `ID`: `ec2:CreateTags` failed inside AWS: Injected by the test; try again later; the AWS Health Dashboard lists known incidents Retry-After "30"
    "#);
}

#[tokio::test]
async fn a_role_without_describe_permission_is_reported_as_denied() {
    let world = World::with([at_work("web")]).await;
    world.ec2.deny(Denial::of(ApiAction::DescribeInstances));
    let answer = world.get("/status").await;
    insta::assert_snapshot!(answer.error_text(), @"403 denied: `ec2:DescribeInstances` was denied: You are not authorized to perform this operation. User: arn:aws:iam::…:user/curfew is not authorized to perform: ec2:DescribeInstances on resource: * because no identity-based policy allows the ec2:DescribeInstances action; grant this action to the role or user; docs/reference/iam.md lists what Curfew needs and why");
    assert!(!answer.text.contains("000000000000"), "{}", answer.text);
}

#[tokio::test]
async fn a_request_that_cannot_be_recorded_makes_no_call() {
    let world = World::with([at_work("web")]).await;
    world.ec2.deny(Denial::of(ApiAction::CreateTags));
    let answer = world.get("/stop").await;
    assert_eq!(answer.error_code(), (403, "denied"));
    assert_eq!(
        answer.of_instances(&["after", "result"]),
        ["web | running | failed"]
    );
    assert_eq!(world.state("web"), "running");
}

#[tokio::test]
async fn a_response_is_sent_before_the_lambda_timeout() {
    let world = World::with([at_work("web")]).await;
    world
        .ec2
        .fault(Fault::on(ApiAction::DescribeInstances, Symptom::Hang));
    let context = InvocationContext::new("c0ffee", Duration::from_secs(1));
    let began = tokio::time::Instant::now();
    let envelope = world
        .app
        .handle(&request("GET", "/status", ""), &context)
        .await
        .unwrap();
    assert_eq!(envelope["statusCode"], 503);
    assert!(
        envelope["body"].as_str().unwrap().contains("out_of_time"),
        "{envelope}"
    );
    assert!(began.elapsed() < Duration::from_secs(1));
}
