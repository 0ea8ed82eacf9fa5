//! Authentication, and protection against requests of other sites.

use curfew_lambda::auth::Authenticator;
use serde_json::{Value, json};

use super::world::{World, at_work, request};

/// The output of `printf '%s' 'correct horse' | sha256sum`.
const HASH: &str = "4104d36f8da2c254349f85836793ebe029e0c957063a34c91c2e9203187b5631";

async fn world_with_token_auth() -> World {
    let mut world = World::with([at_work("web")]).await;
    world.app.auth = Authenticator::Token(
        format!("alice={HASH},ci={}", "00".repeat(32))
            .parse()
            .unwrap(),
    );
    world
}

fn with_token(path: &str, header: &str, token: &str) -> Value {
    let mut event = request("GET", path, "");
    event["headers"][header] = format!("Bearer {token}").into();
    event
}

#[tokio::test]
async fn requests_without_a_valid_token_are_refused_before_any_call() {
    let world = world_with_token_auth().await;
    for path in ["/status", "/stop", "/schedules", "/start?for=2h"] {
        for event in [
            request("GET", path, ""),
            with_token(path, "Authorization", "wrong"),
        ] {
            let answer = world.http(&event).await;
            assert_eq!(answer.error_code(), (401, "unauthorized"), "{path}");
            assert_eq!(
                answer.headers["WWW-Authenticate"],
                r#"Bearer realm="curfew""#
            );
            assert!(!answer.text.contains("wrong"));
        }
    }
    assert!(world.ec2.calls().is_empty());
    assert_eq!(
        world.get("/healthz").await.status,
        200,
        "monitors have no token"
    );
}

#[tokio::test]
async fn the_token_name_is_the_actor() {
    let world = world_with_token_auth().await;
    for header in ["authorization", "Authorization", "AUTHORIZATION"] {
        let answer = world
            .http(&with_token("/status", header, "correct horse"))
            .await;
        assert_eq!(answer.status, 200, "{header}");
    }
    let answer = world
        .http(&with_token(
            "/stop?for=1h",
            "Authorization",
            "correct horse",
        ))
        .await;
    assert_eq!(
        answer.of_instances(&["reason"]),
        ["web | override by alice"]
    );
    assert!(!answer.text.contains("horse"));
}

#[tokio::test]
async fn the_iam_identity_is_the_actor() {
    let mut world = World::with([at_work("web")]).await;
    world.app.auth = Authenticator::Iam;
    let unsigned = world.get("/stop").await;
    assert_eq!(unsigned.error_code(), (401, "unauthorized"));
    assert_eq!(unsigned.headers["WWW-Authenticate"], "AWS4-HMAC-SHA256");
    let mut event = request("GET", "/stop", "");
    event["requestContext"]["identity"]["userArn"] =
        "arn:aws:sts::123456789012:assumed-role/Ops/alice@example.com".into();
    let answer = world.http(&event).await;
    assert_eq!(
        answer.of_instances(&["reason"]),
        ["web | request by alice@example.com"]
    );
}

#[tokio::test]
async fn requests_without_an_iam_identity_are_refused() {
    let mut world = World::with([at_work("web")]).await;
    world.app.auth = Authenticator::Iam;
    let nobody = [Value::Null, "".into()].map(|arn| {
        let mut proxy = request("POST", "/stop", "");
        proxy["requestContext"]["identity"]["userArn"] = arn.clone();
        let http_api = json!({
            "version": "2.0", "rawPath": "/stop", "rawQueryString": "", "headers": {},
            "requestContext": {
                "stage": "$default",
                "http": {"method": "POST", "sourceIp": "192.0.2.1"},
                "authorizer": {"iam": {"userArn": arn}},
            },
        });
        let mut without_authorizer = http_api.clone();
        without_authorizer["requestContext"]["authorizer"] = Value::Null;
        [proxy, http_api, without_authorizer]
    });
    for mut event in nobody.into_iter().flatten() {
        // A header that the caller sets is not a verified identity.
        event["headers"]["authorization"] =
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261123/eu-west-3/execute-api/aws4_request"
                .into();
        let answer = world.http(&event).await;
        assert_eq!(answer.error_code(), (401, "unauthorized"), "{event}");
    }
    assert!(world.ec2.calls().is_empty());
}

#[tokio::test]
async fn a_link_on_another_site_cannot_stop_an_instance() {
    let world = World::with([at_work("web")]).await;
    let mut event = request("GET", "/stop", "");
    event["headers"]["sec-fetch-site"] = "cross-site".into();
    assert_eq!(world.http(&event).await.error_code(), (403, "forbidden"));
    assert_eq!(world.changes(), 0);
    event["path"] = "/status".into();
    assert_eq!(world.http(&event).await.status, 200, "reading is harmless");
}

#[tokio::test]
async fn cors_allows_only_the_configured_origin() {
    let mut world = World::with([at_work("web")]).await;
    let from = |origin: &str, method: &str| {
        let mut event = request(method, "/stop", "");
        event["headers"]["Sec-Fetch-Site"] = "cross-site".into();
        event["headers"]["Origin"] = origin.into();
        event
    };
    let off = world.http(&from("https://a.example", "OPTIONS")).await;
    assert!(off.headers["Access-Control-Allow-Origin"].is_null());
    world.app.cors_origin = Some("https://a.example".to_owned());
    let preflight = world.http(&from("https://a.example", "OPTIONS")).await;
    assert_eq!(
        preflight.headers["Access-Control-Allow-Origin"],
        "https://a.example"
    );
    assert_eq!(
        preflight.headers["Access-Control-Allow-Methods"],
        "GET, POST, OPTIONS"
    );
    let other = world.http(&from("https://b.example", "POST")).await;
    assert_eq!(other.error_code(), (403, "forbidden"));
    assert_eq!(world.changes(), 0);
    let welcome = world.http(&from("https://a.example", "POST")).await;
    assert_eq!(welcome.of_instances(&["result"]), ["web | stopping"]);
}

#[tokio::test]
async fn a_direct_invocation_needs_no_token() {
    let world = world_with_token_auth().await;
    let answer = world
        .send(&serde_json::json!({"command": "stop"}))
        .await
        .unwrap();
    assert_eq!(answer["instances"][0]["reason"], "request by direct");
    let answer = world
        .send(&serde_json::json!({"command": "reboot"}))
        .await
        .unwrap();
    assert_eq!(answer["error"]["code"], "bad_parameter");
}
