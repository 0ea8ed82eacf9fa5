//! Malformed and hostile input: each is refused with one harmless sentence and changes nothing.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use curfew_lambda::invocation_context::InvocationContext;
use curfew_lambda::json::JsonDocument;
use curfew_model::Launch;
use serde_json::{Value, json};

use super::world::{World, at_work, request};

/// Returns the status and error code, after checking that message and hint are single harmless lines.
async fn refused(world: &World, event: &Value) -> String {
    let answer = world.http(event).await;
    let error = &answer.body["error"];
    for text in [&error["message"], &error["hint"]] {
        let text = text.as_str().unwrap_or_else(|| panic!("{}", answer.text));
        assert!(!text.is_empty() && text.len() < 600, "{text}");
        assert!(!text.contains(|c: char| c.is_control()), "{text:?}");
    }
    format!("{} {}", answer.status, error["code"].as_str().unwrap())
}

#[tokio::test]
async fn a_malformed_body_is_refused() {
    let world = World::with([at_work("web")]).await;
    let deep = format!(
        "{{\"all\": {}1{}}}",
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    let encoded = |bytes: &[u8]| (BASE64_STANDARD.encode(bytes), true);
    let plain = |text: &str| (text.to_owned(), false);
    for (body, is_base64) in [
        plain("{"),
        plain("[]"),
        plain("\"all\""),
        plain("all=true"),
        plain(&"x".repeat(70_000)),
        plain(&deep[..60_000]),
        plain(&deep),
        plain("{\"all\": true} {}"),
        plain("\u{0}"),
        encoded(b"{\"all\": \xff}"),
        encoded("{".repeat(70_000).as_bytes()),
        ("not base64".to_owned(), true),
    ] {
        let mut event = request("POST", "/stop", "");
        event["body"] = body.as_str().into();
        event["isBase64Encoded"] = is_base64.into();
        let start: String = body.chars().take(40).collect();
        assert_eq!(refused(&world, &event).await, "400 bad_body", "{start}");
    }
    assert_eq!(world.changes(), 0);
}

#[tokio::test]
async fn an_event_with_a_repeated_key_is_refused() {
    let world = World::with([at_work("web")]).await;
    for text in [
        r#"{"command": "stop", "dry_run": true, "dry_run": false}"#,
        r#"{"command": "status", "command": "wake"}"#,
    ] {
        let event: JsonDocument = serde_json::from_str(text).unwrap();
        let context = InvocationContext::new("c0ffee", Duration::from_secs(10));
        let failure = world.app.receive(&event, &context).await.unwrap_err();
        assert_eq!(failure.kind, "unknown_event");
        assert!(failure.message.ends_with("is repeated"), "{failure}");
    }
    let body = r#"{"dry_run": true, "dry_run": false}"#;
    let event = request("POST", "/stop", body);
    assert_eq!(refused(&world, &event).await, "400 bad_body");
    assert_eq!(world.changes(), 0);
}

#[tokio::test]
async fn an_invalid_parameter_value_is_refused() {
    let world = World::with([at_work("web")]).await;
    for query in [
        json!({"for": ["-2h"]}),
        json!({"for": ["0s"]}),
        json!({"for": ["99999999999999999999h"]}),
        json!({"for": ["1000000 years"]}),
        json!({"for": ["2h", "3h"]}),
        json!({"until": ["2026-11-23T22"]}),
        json!({"until": ["2026-11-23T17:00"]}),
        json!({"until": ["2026-11-23T22:00:00[Mars/Olympus]"]}),
        json!({"until": ["-009999-01-01T00:00:00Z"]}),
        json!({"until": ["9999-12-31T00:00:00Z"]}),
        json!({"instance": [" "]}),
        json!({"instance": ["x".repeat(257)]}),
        json!({"schedule": ["none"]}),
        json!({"schedule": ["office\u{0}"]}),
        json!({"schedule": ["x".repeat(10_000)]}),
        json!({"tag": [":"]}),
        json!({"tag": ["\u{202e}"]}),
        json!({"all": ["TRUE"]}),
        json!({"dry_run": [""]}),
        json!({"<script>alert(1)</script>": ["x"]}),
        json!({"\u{1b}[31m": ["x"]}),
    ] {
        let mut event = request("GET", "/stop", "");
        event["multiValueQueryStringParameters"] = query.clone();
        // A repeated key is refused before its values are read.
        let is_time =
            query.get("until").is_some() || query["for"].as_array().map(Vec::len) == Some(1);
        let code = if is_time { "bad_time" } else { "bad_parameter" };
        assert_eq!(
            refused(&world, &event).await,
            format!("400 {code}"),
            "{query}"
        );
    }
    for name in [
        "i-0abc1234\n",
        "i-0ABC1234",
        "../../etc/passwd",
        "*",
        "\u{202e}",
    ] {
        let mut event = request("GET", "/stop", "");
        event["multiValueQueryStringParameters"] = json!({"instance": [name]});
        assert_eq!(
            refused(&world, &event).await,
            "404 unknown_instance",
            "{name:?}"
        );
    }
    assert_eq!(world.changes(), 0);
}

#[tokio::test]
async fn an_unknown_path_or_method_is_refused() {
    let world = World::with([at_work("web")]).await;
    for (method, path, text) in [
        ("GET", "/stop/../start", "404 unknown_path"),
        ("GET", "/%73top", "404 unknown_path"),
        ("GET", "//evil.example/stop", "404 unknown_path"),
        ("GET", "stop", "404 unknown_path"),
        ("GET", "/STOP", "404 unknown_path"),
        ("GET", "/stop\r\nX: y", "404 unknown_path"),
        ("DELETE", "/stop", "405 method_not_allowed"),
        ("HEAD\n", "/stop", "405 method_not_allowed"),
        ("", "/stop", "405 method_not_allowed"),
    ] {
        assert_eq!(
            refused(&world, &request(method, path, "")).await,
            text,
            "{method} {path}"
        );
    }
    assert_eq!(world.changes(), 0);
}

#[tokio::test]
async fn hostile_tags_are_shown_as_text() {
    // EC2's XML responses can't contain the escape character.
    let hostile = "<img src=x onerror=alert(1)>\u{202e}\r\n[2J";
    let world = World::with([
        Launch::new(hostile).tag("Schedule", "office"),
        Launch::new("zone").tag("Schedule", "Mon-Fri 08:00-20:00 Mars/Olympus"),
        Launch::new("tag").tag("Schedule", hostile),
        at_work("last").tag("curfew:last", hostile),
        at_work("override").tag("curfew:override", hostile),
    ])
    .await;
    let answer = world.get("/status").await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.headers["Content-Type"],
        "application/json; charset=utf-8"
    );
    assert_eq!(answer.headers["X-Content-Type-Options"], "nosniff");
    assert!(
        !answer.text.trim_end().contains(|c: char| c.is_control()),
        "{}",
        answer.text
    );
    let stop = world.get("/stop?all=true&dry_run=true").await;
    assert_eq!(stop.status, 200, "{}", stop.text);
    assert_eq!(world.changes(), 0);
}
