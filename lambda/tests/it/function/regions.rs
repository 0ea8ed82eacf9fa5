//! Several regions, one of which accepts connections and never answers: the others are shown and changed in time, and the error
//! names the unreachable one.

use std::time::Duration;

use curfew_lambda::invocation_context::InvocationContext;
use curfew_model::{ApiAction, Fault, Launch, Symptom};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::world::{World, at_work, request, schedules};

/// A world with office hours in two regions, of which `eu-west-3` does not answer.
async fn world_with_a_hanging_region() -> World {
    let lab = at_work("lab").region("eu-west-3").tag("Team", "research");
    let world = World::with([at_work("web"), lab]).await;
    let mut configuration = schedules();
    configuration["managing"] = json!({"tag": "Schedule", "regions": ["us-east-1", "eu-west-3"]});
    world.ssm.put(Some(configuration.to_string()));
    let hangs = Fault::on(ApiAction::DescribeInstances, Symptom::Hang);
    world.ec2.fault(hangs.in_region("eu-west-3"));
    world
}

/// Sends a request with a deadline of three seconds. Returns the response's status and body.
async fn ask(world: &World, path: &str) -> (u64, Value) {
    let (context, begun) = (
        InvocationContext::new("c0ffee", Duration::from_secs(3)),
        Instant::now(),
    );
    let answer = world.app.handle(&request("GET", path, ""), &context).await;
    let answer = answer.expect("HTTP is always answered");
    assert!(
        begun.elapsed() < Duration::from_millis(2_900),
        "{:?}",
        begun.elapsed()
    );
    let body = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
    (answer["statusCode"].as_u64().unwrap(), body)
}

fn unanswered(body: &Value) -> &str {
    body["unanswered"][0]["message"].as_str().unwrap_or("none")
}

#[tokio::test]
async fn status_shows_the_other_regions_and_names_the_unreachable_one() {
    let world = world_with_a_hanging_region().await;
    let (status, body) = ask(&world, "/status").await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(body["instances"][0]["name"], "web", "{body}");
    assert!(
        unanswered(&body).starts_with("in `eu-west-3`: no answer within"),
        "{body}"
    );
}

#[tokio::test]
async fn a_change_is_applied_in_the_other_regions_and_the_error_names_the_unreachable_one() {
    let world = world_with_a_hanging_region().await;
    let (status, body) = ask(&world, "/stop?all=true").await;
    assert_eq!(status, 503, "{body}");
    assert_eq!(body["error"]["code"], "unreachable", "{body}");
    assert_eq!(body["instances"][0]["result"], "stopping", "{body}");
    assert!(unanswered(&body).starts_with("in `eu-west-3`"), "{body}");
    assert_eq!(world.state("web"), "stopping");
    // The instance's region answered, so there is no error.
    let (status, body) = ask(&world, &format!("/stop?instance={}", world.id("web"))).await;
    assert_eq!(status, 200, "{body}");
    assert!(unanswered(&body).starts_with("in `eu-west-3`"), "{body}");
}

#[tokio::test]
async fn nothing_is_reported_as_not_found_while_a_region_is_unreachable() {
    let world = world_with_a_hanging_region().await;
    let lab = world.id("lab");
    for path in [
        "/stop?tag=Team:research".to_owned(),
        format!("/start?instance={lab}"),
        format!("/status?instance={lab}"),
        "/start".to_owned(),
    ] {
        let (status, body) = ask(&world, &path).await;
        assert_eq!(
            (status, &body["error"]["code"]),
            (503, &json!("unreachable")),
            "{path}: {body}"
        );
        let message = body["error"]["message"].as_str().unwrap();
        assert!(
            message.contains("in `eu-west-3`: no answer within"),
            "{path}: {message}"
        );
    }
    world.ec2.clear_faults();
    world.ec2.launch(Launch::new("other"));
    let (status, body) = ask(&world, "/stop?tag=Team:nobody").await;
    assert_eq!(
        (status, &body["error"]["code"]),
        (404, &json!("nothing_matched")),
        "{body}"
    );
}
