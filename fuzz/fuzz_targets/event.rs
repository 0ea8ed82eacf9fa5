//! Reads any bytes as an event: directly if they are JSON, else as the parts of an HTTP request. Nothing panics, each
//! error is one line without control characters, and a request without a token is never admitted.
//!
//!     cargo +nightly fuzz run event -- -max_total_time=60 -dict=fuzz/event.dict

#![no_main]
// Modules of the Lambda, of which only a part is used here.
#![allow(dead_code, unused_imports)]

// Included by path rather than by crate, which would build the AWS SDK with instrumentation (ten minutes) for code that
// is not called.
#[path = "../../lambda/src/auth.rs"]
mod auth;
#[path = "../../lambda/src/command.rs"]
mod command;
#[path = "../../lambda/src/event.rs"]
mod event;
#[path = "../../lambda/src/http.rs"]
mod http;
#[path = "../../lambda/src/json.rs"]
mod json;
#[path = "../../lambda/src/message.rs"]
mod message;
#[path = "../../lambda/src/parameter.rs"]
mod parameter;
#[path = "../../lambda/src/parameters.rs"]
mod parameters;
#[path = "../../lambda/src/refusal.rs"]
mod refusal;
#[path = "../../lambda/src/route.rs"]
mod route;

use std::sync::LazyLock;

use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

use crate::auth::Auth;
use crate::command::Command;
use crate::event::Invocation;
use crate::refusal::Refusal;
use crate::route::{Effect, Route};

static TOKEN: LazyLock<Auth> = LazyLock::new(|| {
    let tokens = format!("alice={}", "00".repeat(32));
    Auth::Token(tokens.parse().expect("it is written as tokens are"))
});

fuzz_target!(|bytes: &[u8]| {
    match serde_json::from_slice(bytes) {
        Ok(event) => check(&event),
        Err(_) => {
            let text = String::from_utf8_lossy(bytes);
            let mut parts = text.splitn(4, '\n');
            let [method, path, query, body] = [(); 4].map(|()| parts.next().unwrap_or_default());
            check(&through_rest_api(method, path, query, body));
            check(&through_function_url(method, path, query, body));
        }
    }
});

fn check(event: &Value) {
    let now = Timestamp::from_second(1_795_456_800).expect("it is an instant");
    match Invocation::read(event) {
        Err(unknown) => harmless(&unknown.to_string()),
        Ok(Invocation::Http(request)) => {
            let Ok(route) = Route::of(&request).map_err(check_message) else {
                return;
            };
            if route.is_guarded() {
                let admitted = TOKEN.admit(&request, route, None).map_err(check_message);
                assert!(admitted.is_err(), "no token has this digest: {request:?}");
            }
            let command = Command::of_request(route, &request, now).map_err(check_message);
            let changes = matches!(command, Ok(Command::Change { .. }));
            assert!(!changes || route.effect() == Effect::Changes, "{command:?}");
            assert!(!changes || request.method != "HEAD", "{command:?}");
        }
        Ok(Invocation::Direct { command, parameters }) => {
            if let Some(route) = Route::commanded(&command) {
                let _ = Command::of_fields(route, &parameters, now).map_err(check_message);
            }
        }
        Ok(_) => {}
    }
}

fn check_message(refusal: Refusal) {
    harmless(&refusal.to_string());
}

/// The message repeats input, which must not begin another line of the log.
fn harmless(sentence: &str) {
    assert!(!sentence.contains(|c: char| c.is_control()), "{sentence:?}");
    assert!(sentence.len() < 4096, "{sentence}");
}

fn through_rest_api(method: &str, path: &str, query: &str, body: &str) -> Value {
    let pairs: Vec<(&str, &str)> = query.split('&').filter_map(|pair| pair.split_once('=')).collect();
    let several = pairs.iter().fold(json!({}), |mut several, (key, value)| {
        match several[*key].as_array_mut() {
            Some(values) => values.push((*value).into()),
            None => several[*key] = json!([value]),
        }
        several
    });
    json!({
        "httpMethod": method, "path": path, "headers": {"Authorization": "Bearer x"},
        "multiValueQueryStringParameters": several, "body": body, "isBase64Encoded": false,
        "requestContext": {"stage": "prod", "identity": {"sourceIp": "192.0.2.7"}},
    })
}

fn through_function_url(method: &str, path: &str, query: &str, body: &str) -> Value {
    json!({
        "rawPath": path, "rawQueryString": query, "body": body, "isBase64Encoded": true,
        "headers": {"content-type": "application/x-www-form-urlencoded"},
        "requestContext": {"stage": "$default", "http": {"method": method, "sourceIp": "192.0.2.7"}},
    })
}
