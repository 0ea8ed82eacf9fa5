//! Reads any bytes as an event: JSON directly, other bytes as the parts of an HTTP request. No input panics, every error is one
//! harmless line, and no request without a token is accepted as a change.
//!
//!     cargo +nightly fuzz run event -- -max_total_time=60 -dict=fuzz/event.dict

#![no_main]
// The modules belong to the Lambda; this target does not use all of their items.
#![allow(dead_code, unused_imports)]

// Included by path instead of through the crate, which depends on the AWS SDK: ten minutes of instrumented building for code that
// this target does not call.
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
#[path = "../../lambda/src/api_error.rs"]
mod api_error;
#[path = "../../lambda/src/route.rs"]
mod route;

use std::sync::LazyLock;

use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

use crate::auth::Authenticator;
use crate::command::ApiCommand;
use crate::event::Invocation;
use crate::api_error::ApiError;
use crate::route::{Effect, Route};

static TOKEN: LazyLock<Authenticator> = LazyLock::new(|| {
    let tokens = format!("alice={}", "00".repeat(32));
    Authenticator::Token(tokens.parse().expect("it is written as tokens are"))
});

fuzz_target!(|bytes: &[u8]| {
    match serde_json::from_slice(bytes) {
        Ok(event) => check_event(&event),
        Err(_) => {
            let text = String::from_utf8_lossy(bytes);
            let mut parts = text.splitn(4, '\n');
            let [method, path, query, body] = [(); 4].map(|()| parts.next().unwrap_or_default());
            check_event(&through_rest_api(method, path, query, body));
            check_event(&through_function_url(method, path, query, body));
        }
    }
});

fn check_event(event: &Value) {
    let now = Timestamp::from_second(1_795_456_800).expect("it is an instant");
    match Invocation::read(event) {
        Err(unknown) => assert_harmless(&unknown.to_string()),
        Ok(Invocation::Http(request)) => {
            let Ok(route) = Route::of(&request).map_err(check_error) else {
                return;
            };
            if route.requires_authentication() {
                let actor = TOKEN.authenticate(&request, route, None).map_err(check_error);
                assert!(actor.is_err(), "no token has this digest: {request:?}");
            }
            let command = ApiCommand::of_request(route, &request, now).map_err(check_error);
            let changes = matches!(command, Ok(ApiCommand::Change { .. }));
            assert!(!changes || route.effect() == Effect::Changes, "{command:?}");
            assert!(!changes || request.method != "HEAD", "{command:?}");
        }
        Ok(Invocation::Direct { command, parameters }) => {
            if let Some(route) = Route::of_command(&command) {
                let _ = ApiCommand::of_fields(route, &parameters, now).map_err(check_error);
            }
        }
        Ok(_) => {}
    }
}

fn check_error(error: ApiError) {
    assert_harmless(&error.to_string());
}

/// A message may quote input, but must not start another line of the log.
fn assert_harmless(sentence: &str) {
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
