//! The function conforms to the OpenAPI document: Schemathesis generates valid and invalid requests from it.

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::request::Parts;
use axum::http::{Request, Response, Uri};
use curfew_lambda::auth::Authenticator;
use curfew_lambda::invocation_context::InvocationContext;
use curfew_lambda::openapi;
use curfew_model::{Launch, SpotKind};
use jiff::SignedDuration;
use serde_json::{Map, Value, json};
use tokio::process::Command;

use super::world::{World, at_work};

const REPOSITORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
const TOKEN: &str = "correct horse";
/// The output of `printf '%s' 'correct horse' | sha256sum`.
const DIGEST: &str = "4104d36f8da2c254349f85836793ebe029e0c957063a34c91c2e9203187b5631";

#[tokio::test]
async fn the_document_needs_no_authentication() {
    let mut world = World::with([at_work("web")]).await;
    world.app.auth = Authenticator::Iam;
    let answer = world.get("/openapi.json").await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.headers["Content-Type"],
        "application/json; charset=utf-8"
    );
    assert_eq!(answer.body["openapi"], "3.1.0");
    assert_eq!(answer.text, openapi::DOCUMENT);
    assert!(world.ec2.calls().is_empty() && world.ssm.reads() == 0);
}

/// The function, and the number of requests that it received.
struct Served {
    world: World,
    requests: AtomicUsize,
}

/// Sends every second request as an event of a REST API, and the others as events of a function URL.
async fn serve(State(served): State<Arc<Served>>, request: Request<Body>) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let number = served.requests.fetch_add(1, Ordering::Relaxed);
    let event = if number.is_multiple_of(2) {
        through_rest_api(&parts, &body)
    } else {
        through_function_url(&parts, &body)
    };
    let context = InvocationContext::new(format!("request-{number}"), Duration::from_secs(10));
    let answer = served
        .world
        .app
        .handle(&event, &context)
        .await
        .expect("HTTP is always answered");
    // Starts and stops progress between two requests.
    served.world.ec2.advance(SignedDuration::from_secs(20));
    let status = u16::try_from(answer["statusCode"].as_u64().unwrap()).unwrap();
    let mut response = Response::builder().status(status);
    for (name, value) in answer["headers"].as_object().unwrap() {
        response = response.header(name, value.as_str().unwrap());
    }
    response
        .body(answer["body"].as_str().unwrap().to_owned().into())
        .unwrap()
}

fn headers(parts: &Parts) -> Map<String, Value> {
    let headers = parts.headers.iter();
    headers
        .map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            (name.to_string(), value.into())
        })
        .collect()
}

fn pairs(uri: &Uri) -> Value {
    let mut pairs = json!({});
    for (key, value) in form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()) {
        match pairs[&*key].as_array_mut() {
            Some(values) => values.push(value.into()),
            None => pairs[&*key] = json!([value]),
        }
    }
    pairs
}

fn through_rest_api(parts: &Parts, body: &Bytes) -> Value {
    let (text, is_base64) = body_of(body);
    json!({
        "resource": "/{proxy+}", "path": parts.uri.path(), "httpMethod": parts.method.as_str(),
        "headers": headers(parts), "multiValueQueryStringParameters": pairs(&parts.uri),
        "requestContext": {"stage": "prod", "identity": {"sourceIp": "192.0.2.7"}},
        "body": text, "isBase64Encoded": is_base64,
    })
}

fn through_function_url(parts: &Parts, body: &Bytes) -> Value {
    let (text, is_base64) = body_of(body);
    json!({
        "version": "2.0", "rawPath": parts.uri.path(), "rawQueryString": parts.uri.query().unwrap_or_default(),
        "headers": headers(parts),
        "requestContext": {"stage": "$default", "http": {"method": parts.method.as_str(), "sourceIp": "192.0.2.7"}},
        "body": text, "isBase64Encoded": is_base64,
    })
}

/// The body as text or, if it is not UTF-8, in base64.
fn body_of(body: &Bytes) -> (Option<String>, bool) {
    use base64::Engine as _;
    if body.is_empty() {
        return (None, false);
    }
    match std::str::from_utf8(body) {
        Ok(text) => (Some(text.to_owned()), false),
        Err(_) => (Some(base64::prelude::BASE64_STANDARD.encode(body)), true),
    }
}

fn fleet() -> [Launch; 8] {
    [
        at_work("web"),
        at_work("db").stopped(),
        at_work("protected").stop_protection(),
        Launch::new("lab").tag("Schedule", "lab"),
        Launch::new("stray").tag("Team", "shop"),
        Launch::new("opted-out").tag("Schedule", "none"),
        at_work("of-a-group").auto_scaling_group("web-asg"),
        at_work("spot").spot(SpotKind::OneTime),
    ]
}

/// Sends some thousand requests, the same in each run. Every response conforms to the document, and none is an internal error.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_function_conforms_to_the_document() {
    let mut world = World::with(fleet()).await;
    world.app.auth = Authenticator::Token(format!("alice={DIGEST}").parse().unwrap());
    let served = Arc::new(Served {
        world,
        requests: AtomicUsize::new(0),
    });
    let router = Router::new()
        .fallback(serve)
        .with_state(Arc::clone(&served));
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(axum::serve(listener, router).into_future());

    let run = Command::new(Path::new(REPOSITORY).join("tools/schemathesis"))
        .args(["run", &format!("http://{address}/openapi.json")])
        .args(["--header", &format!("Authorization: Bearer {TOKEN}")])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    serving.abort();
    let output = String::from_utf8_lossy(&run.stdout);
    let requests = served.requests.load(Ordering::Relaxed);
    assert!(
        run.status.success(),
        "{requests} requests\n{output}\n{}",
        String::from_utf8_lossy(&run.stderr)
    );
    assert!(requests > 500, "only {requests} requests: {output}");
    let changes = served.world.changes();
    assert!(
        changes > 5,
        "only {changes} calls that change something: {output}"
    );
}
