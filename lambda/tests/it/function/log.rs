//! The function's log: it contains the actor and the request id, and no secrets.

use std::io;
use std::sync::{Arc, Mutex};

use curfew_lambda::auth::Authenticator;
use curfew_model::Launch;
use serde_json::{Value, json};
use tracing::subscriber::DefaultGuard;

use super::world::{World, at_work, request};

/// The output of `printf '%s' 'correct horse' | sha256sum`.
const DIGEST: &str = "4104d36f8da2c254349f85836793ebe029e0c957063a34c91c2e9203187b5631";

/// Captures this thread's log in the format that goes to CloudWatch.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn begin() -> (Self, DefaultGuard) {
        let log = Self::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_max_level(tracing::Level::TRACE)
            .with_writer(move || writer.clone())
            .finish();
        (log, tracing::subscriber::set_default(subscriber))
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    /// The lines of Curfew's crates, without those of the SDK.
    fn ours(&self) -> Vec<Value> {
        let text = self.text();
        let lines = text
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).expect("a line is a JSON document"));
        lines
            .filter(|line| line["target"].as_str().unwrap().starts_with("curfew"))
            .collect()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn every_log_line_has_the_request_id() {
    let world = World::with([at_work("web"), at_work("db")]).await;
    world.ec2.stop(&world.id("db")).unwrap();
    let (log, _guard) = Log::begin();
    world.get("/status").await;
    world.get("/nowhere").await;
    world
        .get(&format!("/stop?instance={}", world.id("web")))
        .await;
    world
        .send(&json!({"command": "stop", "all": true}))
        .await
        .unwrap();
    world
        .send(&json!({"command": "wake", "schedule": "retired"}))
        .await
        .unwrap();
    world.send(&json!({"Records": []})).await.unwrap_err();
    for event in world.ec2.drain_events() {
        world.send(&event).await.unwrap();
    }
    let lines = log.ours();
    assert!(lines.len() >= 8, "{lines:#?}");
    for line in lines {
        let spans = line["spans"].as_array().unwrap();
        let has_id = spans.iter().any(|span| span["request_id"] == "c0ffee");
        assert!(has_id, "{line}");
    }
}

#[tokio::test]
async fn the_actor_is_logged_and_the_token_is_not() {
    let mut world = World::with([at_work("web")]).await;
    world.app.auth = Authenticator::Token(format!("alice={DIGEST}").parse().unwrap());
    let (log, _guard) = Log::begin();
    let mut event = request("GET", "/stop?for=1h", "");
    event["headers"]["Authorization"] = "Bearer correct horse".into();
    let answer = world.http(&event).await;
    assert_eq!(answer.status, 200);
    // A token in the wrong place, and a wrong token.
    for path in [
        "/stop?token=correct+horse",
        "/stop?all=correct+horse",
        "/correct+horse",
    ] {
        event["path"] = path.split('?').next().unwrap().into();
        event["multiValueQueryStringParameters"] = match path.split_once('?') {
            None => Value::Null,
            Some((_, pair)) => {
                let (key, value) = pair.split_once('=').unwrap();
                json!({key: [value.replace('+', " ")]})
            }
        };
        world.http(&event).await;
    }
    event["path"] = "/status".into();
    event["headers"]["Authorization"] = "Bearer wrong horse".into();
    world.http(&event).await;
    let answered: Vec<Value> = log
        .ours()
        .into_iter()
        .filter(|line| line["message"] == "request answered")
        .collect();
    assert_eq!(
        (&answered[0]["by"], &answered[0]["route"]),
        (&json!("alice"), &json!("stop"))
    );
    assert_eq!(answered[4]["refused"], "unauthorized");
    let source = event["requestContext"]["identity"]["sourceIp"].clone();
    assert!(source.is_string());
    assert_eq!(
        answered[4]["source_ip"], source,
        "the address of a refused request"
    );
    assert_eq!(answered[0]["source_ip"], Value::Null);
    let text = log.text();
    for secret in ["horse", DIGEST] {
        assert!(!text.contains(secret), "{text}");
    }
    assert!(text.contains("override by alice"), "{text}");
    assert_eq!(
        world.tag("web", "curfew:override").as_deref(),
        Some("stopped since 2026-11-23T18:00:00Z until 2026-11-23T19:00:00Z by alice")
    );
}

#[tokio::test]
async fn the_arn_of_an_iam_caller_is_logged() {
    let mut world = World::with([at_work("web")]).await;
    world.app.auth = Authenticator::Iam;
    let (log, _guard) = Log::begin();
    let arn = "arn:aws:sts::123456789012:assumed-role/Ops/alice@example.com";
    let mut event = request("GET", "/stop", "");
    event["requestContext"]["identity"]["userArn"] = arn.into();
    world.http(&event).await;
    let lines = log.ours();
    let answered = lines
        .iter()
        .find(|line| line["message"] == "request answered")
        .unwrap();
    assert_eq!(
        (&answered["by"], &answered["caller"]),
        (&json!("alice@example.com"), &json!(arn))
    );
}

#[tokio::test]
async fn a_name_cannot_forge_a_log_line() {
    let forged = "web\n{\"level\":\"INFO\",\"message\":\"request answered\",\"by\":\"root\"}";
    let world = World::with([Launch::new(forged).tag("Schedule", "office")]).await;
    let (log, _guard) = Log::begin();
    world.get("/stop").await;
    let mut event = request("GET", "/stop", "");
    event["httpMethod"] = "GET\n{}".into();
    event["path"] = "/stop\r\n{}".into();
    world.http(&event).await;
    world.send(&json!({"a\nb": 1})).await.unwrap_err();
    assert!(log.ours().iter().all(|line| line["by"] != "root"));
    assert!(!log.text().contains('\u{1b}'), "{}", log.text());
}
