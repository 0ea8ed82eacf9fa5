//! HTTP requests and their responses.

use curfew_lambda::auth::Authenticator;
use curfew_model::{ApiAction, Launch};
use jiff::SignedDuration;
use serde_json::json;

use super::world::{World, at_work, request};

#[tokio::test]
async fn status_shows_state_and_reason() {
    let world = World::with([at_work("web")]).await;
    let answer = world.get("/status").await;
    assert_eq!(answer.status, 200);
    insta::assert_snapshot!(serde_json::to_string_pretty(&answer.body).unwrap(), @r#"
    {
      "at": "2026-11-23T18:00:00Z",
      "instances": [
        {
          "desired": "running",
          "fallback": null,
          "id": "i-0e220a8397b1dcdaf",
          "inline_schedule": null,
          "instance_type": "t3.micro",
          "kind": "instance",
          "last_applied": {
            "action": "start",
            "at": "2026-11-23T07:00:00Z",
            "cause": "schedule office",
            "pending": false
          },
          "last_change": {
            "action": "start",
            "at": "2026-11-23T07:00:05Z",
            "cause": "schedule office"
          },
          "name": "web",
          "next": {
            "action": "stop",
            "at": "2026-11-23T19:00:00Z"
          },
          "override": null,
          "pending_action": null,
          "problem": null,
          "reason": "inside the window `Mon-Fri 08:00-20:00` in Europe/Paris",
          "region": "us-east-1",
          "retry": null,
          "schedule": "office",
          "skip_code": "as_desired",
          "state": "running",
          "verdict": "it is running, as it should be"
        }
      ],
      "next": {
        "action": "stop",
        "at": "2026-11-23T19:00:00Z"
      },
      "request_id": "c0ffee",
      "unmanaged_count": 0
    }
    "#);
}

#[tokio::test]
async fn status_lists_unmanaged_instances_only_with_all() {
    let world = World::with([
        at_work("web"),
        Launch::new("stray"),
        Launch::new("opted-out").tag("Schedule", "none"),
        Launch::new("misspelt").tag("Schedule", "offfice"),
        Launch::new("lower-case").tag("schedule", "office"),
        at_work("of-a-group").auto_scaling_group("web-asg"),
    ])
    .await;
    let answer = world.get("/status").await;
    insta::assert_snapshot!(answer.of_instances(&["schedule", "state", "verdict", "problem"]).join("\n"), @r#"
    lower-case | null | running | no schedule manages it: it has no managing tag, and no schedule's `match` takes it | {"code":"wrong_key","hint":"set the tag `Schedule` to `office`","message":"the tag `schedule` has the value `office`, but only the tag `Schedule` counts","tag":"schedule"}
    misspelt | null | running | its tag names the schedule `offfice`, which does not exist; there is `lab`, `office` | {"code":"unknown_schedule","hint":"set the tag `Schedule` to `office`","message":"the tag `Schedule` names the schedule `offfice`, which does not exist: there is `lab`, `office`","tag":"Schedule"}
    of-a-group | office | running | the Auto Scaling group `web-asg` manages it, and would replace or miss it; only an instance that is named by its id is acted on all the same | null
    web | office | running | it is running, as it should be | null
    "#);
    assert_eq!(answer.body["unmanaged_count"], 2);
    let all = world.get("/status?all=true").await;
    insta::assert_snapshot!(all.of_instances(&["schedule", "verdict"]).join("\n"), @"
    lower-case | null | no schedule manages it: it has no managing tag, and no schedule's `match` takes it
    misspelt | null | its tag names the schedule `offfice`, which does not exist; there is `lab`, `office`
    of-a-group | office | the Auto Scaling group `web-asg` manages it, and would replace or miss it; only an instance that is named by its id is acted on all the same
    opted-out | null | its tag `Schedule` opts it out
    stray | null | no schedule manages it: it has no managing tag, and no schedule's `match` takes it
    web | office | it is running, as it should be
    ");
    assert_eq!(all.body["unmanaged_count"], 0);
}

#[tokio::test]
async fn status_has_the_text_of_an_inline_schedule() {
    let text = "Mon-Fri 07:30-18:00 Europe/Madrid";
    let world = World::with([Launch::new("own").tag("Schedule", text)]).await;
    let answer = world.get("/status").await;
    let own = &answer.body["instances"][0];
    assert_eq!(
        (&own["schedule"], &own["inline_schedule"]),
        (&json!("inline"), &json!(text))
    );
}

#[tokio::test]
async fn a_stop_is_carried_out_and_recorded_in_the_state_tags() {
    let world = World::with([at_work("web")]).await;
    let answer = world.get("/stop").await;
    assert_eq!(answer.status, 200);
    insta::assert_snapshot!(serde_json::to_string_pretty(&answer.body).unwrap(), @r#"
    {
      "at": "2026-11-23T18:00:00Z",
      "instances": [
        {
          "action": "stop",
          "after": "stopping",
          "id": "i-0e220a8397b1dcdaf",
          "kind": "instance",
          "name": "web",
          "next": {
            "action": "stop",
            "at": "2026-11-23T19:00:00Z"
          },
          "override": null,
          "reason": "request by http 127.0.0.1",
          "region": "us-east-1",
          "result": "stopping",
          "state": "running"
        }
      ],
      "request_id": "c0ffee"
    }
    "#);
    assert_eq!(world.state("web"), "stopping");
    assert_eq!(
        world.tag("web", "curfew:last").as_deref(),
        Some("2026-11-23T18:00:00Z stop request by http 127.0.0.1 pending")
    );
    let again = world.get("/stop").await;
    assert_eq!(
        again.of_instances(&["state", "result"]),
        ["web | stopping | unchanged"]
    );
    assert_eq!(world.ec2.calls_of(ApiAction::StopInstances).len(), 1);
}

#[tokio::test]
async fn a_start_is_reported_as_starting_until_the_instance_runs() {
    let world = World::with([at_work("web").stopped()]).await;
    let answer = world.get("/start").await;
    assert_eq!(
        answer.of_instances(&["state", "after", "result"]),
        ["web | stopped | pending | starting"]
    );
    world.ec2.advance(SignedDuration::from_secs(60));
    assert_eq!(world.state("web"), "running");
    let answer = world.post("/start", "").await;
    assert_eq!(
        answer.of_instances(&["state", "after", "result"]),
        ["web | running | running | unchanged"]
    );
}

#[tokio::test]
async fn a_dry_run_reports_the_plan_and_changes_nothing() {
    let world = World::with([at_work("web"), at_work("db").stopped()]).await;
    let answer = world
        .post("/stop", r#"{"all": true, "for": "2h", "dry_run": true}"#)
        .await;
    insta::assert_snapshot!(answer.of_instances(&["result", "action", "reason", "override", "next"]).join("\n"), @r#"
    db | planned | record | override by http 127.0.0.1 | {"actor":"http 127.0.0.1","since":"2026-11-23T18:00:00Z","state":"stopped","until":"2026-11-23T20:00:00Z"} | {"action":"stop","at":"2026-11-23T20:00:00Z"}
    web | planned | stop | override by http 127.0.0.1 | {"actor":"http 127.0.0.1","since":"2026-11-23T18:00:00Z","state":"stopped","until":"2026-11-23T20:00:00Z"} | {"action":"stop","at":"2026-11-23T20:00:00Z"}
    "#);
    assert_eq!((answer.status, world.changes()), (200, 0));
}

#[tokio::test]
async fn a_request_for_one_instance_describes_only_that_instance() {
    let world = World::with([at_work("web"), at_work("db")]).await;
    let path = format!("/stop?instance={}", world.id("db"));
    assert_eq!(world.get(&path).await.status, 200);
    let describes = world.ec2.calls_of(ApiAction::DescribeInstances);
    // To select the instance, after the request is recorded, and right before `curfew:last` is written.
    assert_eq!(describes.len(), 3);
    let asked = format!("{:?}", describes[0].request);
    assert!(
        asked.contains(world.id("db").as_str()) && !asked.contains("instance-state-name"),
        "{asked}"
    );
    assert_eq!(
        (world.state("web").as_str(), world.state("db").as_str()),
        ("running", "stopping")
    );
}

#[tokio::test]
async fn schedules_show_desired_state_and_reason() {
    let world = World::with([]).await;
    let answer = world.get("/schedules").await;
    insta::assert_snapshot!(serde_json::to_string_pretty(&answer.body).unwrap(), @r#"
    {
      "at": "2026-11-23T18:00:00Z",
      "request_id": "c0ffee",
      "schedules": [
        {
          "desired": "running",
          "enforce": true,
          "last_edge": {
            "action": "start",
            "at": "2026-11-23T07:00:00Z"
          },
          "name": "lab",
          "next": {
            "action": "stop",
            "at": "2026-11-23T19:00:00Z"
          },
          "reason": "inside the window `Mon-Fri 08:00-20:00` in Europe/Paris",
          "timezone": "Europe/Paris"
        },
        {
          "desired": "running",
          "enforce": false,
          "last_edge": {
            "action": "start",
            "at": "2026-11-23T07:00:00Z"
          },
          "name": "office",
          "next": {
            "action": "stop",
            "at": "2026-11-23T19:00:00Z"
          },
          "reason": "inside the window `Mon-Fri 08:00-20:00` in Europe/Paris",
          "timezone": "Europe/Paris"
        }
      ],
      "tag": "Schedule"
    }
    "#);
}

#[tokio::test]
async fn schedules_with_days_include_a_timeline() {
    let world = World::with([]).await;
    world.ssm.put(Some(
        json!({"schedules": {
            "paris": {"timezone": "Europe/Paris", "running": "Tue 08:00-20:00"},
            "night-stop": {"timezone": "Asia/Kolkata", "stop": "0 20 * * 1-5"},
        }})
        .to_string(),
    ));
    let answer = world.get("/schedules?days=2").await;
    let timelines: Vec<String> = answer.body["schedules"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| format!("{}: {}", one["name"], one["timeline"]))
        .collect();
    insta::assert_snapshot!(timelines.join("\n"), @r#"
    "night-stop": {"edges":[{"action":"stop","at":"2026-11-23T14:30:00Z"},{"action":"stop","at":"2026-11-24T14:30:00Z"}],"running":[],"since":"2026-11-22T18:30:00Z","unmanaged":[{"since":"2026-11-22T18:30:00Z","until":"2026-11-24T18:30:00Z"}],"until":"2026-11-24T18:30:00Z"}
    "paris": {"edges":[{"action":"start","at":"2026-11-24T07:00:00Z"},{"action":"stop","at":"2026-11-24T19:00:00Z"}],"running":[{"since":"2026-11-24T07:00:00Z","until":"2026-11-24T19:00:00Z"}],"since":"2026-11-22T23:00:00Z","unmanaged":[],"until":"2026-11-24T23:00:00Z"}
    "#);
}

#[tokio::test]
async fn healthz_checks_that_the_configuration_can_be_read() {
    let world = World::with([]).await;
    let answer = world.get("/healthz").await;
    assert_eq!((answer.status, &answer.body["status"]), (200, &json!("ok")));
    assert!(
        world.ec2.calls().is_empty(),
        "the health check does not call EC2"
    );
    let world = World::with([]).await;
    world.ssm.put(None);
    assert_eq!(
        world.get("/healthz").await.error_code(),
        (503, "invalid_configuration")
    );
}

#[tokio::test]
async fn every_response_is_uncached_json_with_the_request_id() {
    let world = World::with([at_work("web")]).await;
    for path in ["/status", "/schedules", "/stop?x=1", "/nowhere"] {
        let answer = world.get(path).await;
        assert_eq!(
            answer.headers["Content-Type"],
            "application/json; charset=utf-8"
        );
        assert_eq!(answer.headers["Cache-Control"], "no-store");
        assert_eq!(answer.headers["X-Request-Id"], "c0ffee");
        assert_eq!(answer.body["request_id"], "c0ffee", "{path}");
    }
}

#[tokio::test]
async fn head_and_options_have_no_body_and_change_nothing() {
    let world = World::with([at_work("web")]).await;
    let head = world.http(&request("HEAD", "/status", "")).await;
    assert_eq!((head.status, head.text.as_str()), (200, ""));
    let options = world.http(&request("OPTIONS", "/stop", "")).await;
    assert_eq!((options.status, options.text.as_str()), (204, ""));
    assert_eq!(options.headers["Allow"], "GET, POST, OPTIONS");
    let head = world.http(&request("HEAD", "/stop", "")).await;
    assert_eq!((head.status, head.text.as_str()), (405, ""));
    let delete = world.http(&request("DELETE", "/status", "")).await;
    assert_eq!(delete.error_code(), (405, "method_not_allowed"));
    assert_eq!(delete.headers["Allow"], "GET, HEAD, OPTIONS");
    assert_eq!(world.changes(), 0);
}

#[tokio::test]
async fn the_page_needs_no_authentication_and_makes_no_aws_call() {
    let mut world = World::with([at_work("ursula")]).await;
    world.app.auth = Authenticator::Iam;
    let page = world.get("/?from=a-bookmark").await;
    assert_eq!(page.status, 200);
    assert_eq!(page.headers["Content-Type"], "text/html; charset=utf-8");
    assert_eq!(page.headers["Cache-Control"], "no-cache");
    assert_eq!(page.headers["X-Request-Id"], "c0ffee");
    let policy = page.headers["Content-Security-Policy"].as_str().unwrap();
    assert!(policy.contains("default-src 'none'"), "{policy}");
    assert!(page.text.starts_with("<!doctype html>"), "{}", page.text);
    assert!(
        !page.text.contains("ursula"),
        "it holds nothing of the fleet"
    );
    let head = world.http(&request("HEAD", "/", "")).await;
    assert_eq!((head.status, head.text.as_str()), (200, ""));
    let post = world.post("/", "").await;
    assert_eq!(post.error_code(), (405, "method_not_allowed"));
    let command = world.send(&json!({"command": ""})).await.unwrap();
    assert_eq!(command["error"]["code"], "bad_parameter");
    assert!(world.ec2.calls().is_empty() && world.ssm.reads() == 0);
}

#[tokio::test]
async fn an_http_api_event_gets_the_same_response() {
    let world = World::with([at_work("web"), at_work("db")]).await;
    let mut event: serde_json::Value = serde_json::from_str(include_str!(
        "../../events/ministack-http-GET-function-url.json"
    ))
    .unwrap();
    event["rawPath"] = "/stop".into();
    event["rawQueryString"] =
        format!("instance={}&instance={}", world.id("web"), world.id("db")).into();
    let answer = world.http(&event).await;
    assert_eq!(
        answer.of_instances(&["result"]),
        ["db | stopping", "web | stopping"]
    );
}
