//! Generates the document: schemas from the types, paths and parameters from [`Route`], errors from [`ErrorCode`].

use std::collections::BTreeMap;
use std::path::Path;

use curfew_core::error_code::ErrorCode;
use schemars::generate::SchemaSettings;
use schemars::transform::{RecursiveTransform, Transform as _};
use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::DOCUMENT;
use crate::api_error::HttpErrorCode as _;
use crate::command::TimelineDays;
use crate::parameter::ApiParameter;
use crate::responses::{
    ChangeResponse, ErrorResponse, HealthResponse, SchedulesResponse, StatusResponse,
};
use crate::route::{Effect, Route};

#[test]
fn the_document_in_the_repository_matches_the_types() {
    let described = describe();
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/openapi.json");
        std::fs::write(document, &described).unwrap();
        return;
    }
    assert!(
        DOCUMENT == described,
        "docs/openapi.json is out of date: run this test with UPDATE_SCHEMA=1"
    );
}

/// Generates the OpenAPI document as indented JSON with a final newline.
fn describe() -> String {
    let mut configuration = SchemaSettings::draft2020_12().for_serialize();
    configuration.definitions_path = "/components/schemas".into();
    configuration.meta_schema = None;
    let mut schemas = configuration.into_generator();
    let paths: Map<String, Value> = Route::ALL
        .into_iter()
        .map(|route| (route.path().to_owned(), path(route, &mut schemas)))
        .collect();
    let mut components: Map<String, Value> = schemas.take_definitions(true);
    for (name, schema) in &mut components {
        tidy(schema);
        if RESPONSES.contains(&name.as_str()) {
            add_request_id(schema);
        }
    }
    let document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Curfew",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "Starts and stops EC2 instances on a schedule.",
            "description": ABOUT,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        // Relative to this document's URL, which includes the stage.
        "servers": [{"url": ".", "description": "The stage that serves this document."}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "With `auth = \"token\"`: a token that `curfew token new` generated.",
                },
            },
            "headers": headers(),
        },
    });
    serde_json::to_string_pretty(&document).expect("a document is plain data") + "\n"
}

const ABOUT: &str = "\
Every response contains the request id, which is also in each line of the function's log. Responses must not be cached.

A deployment requires a token (`auth = \"token\"`), a request signed by an IAM identity with AWS Signature Version 4 (`iam`) or, on an \
emulator, no authentication (`none`).

API Gateway rejects some requests with its own error documents: 403 for an invalid signature, and 429 for more than ten requests per \
second.";

/// Describes a route's path with its operations.
fn path(route: Route, schemas: &mut SchemaGenerator) -> Value {
    let operations: Map<String, Value> = route
        .methods()
        .iter()
        .map(|method| {
            (
                method.to_ascii_lowercase(),
                operation(route, method, schemas),
            )
        })
        .collect();
    Value::Object(operations)
}

fn operation(route: Route, method: &str, schemas: &mut SchemaGenerator) -> Value {
    let id = match (method, route.methods().contains(&"POST")) {
        ("GET", false) | ("POST", _) => route.name().to_owned(),
        (method, _) => format!("{}_{}", route.name(), method.to_ascii_lowercase()),
    };
    let mut operation = json!({"operationId": id, "summary": summary(route, method)});
    if method == "OPTIONS" {
        operation["responses"] = json!({"204": {
            "description": "The methods that this path supports.",
            "headers": references(&["Allow", "X-Request-Id", "Cache-Control"]),
        }});
        return operation;
    }
    let parameters: Vec<Value> = route
        .parameters()
        .iter()
        .map(|one| in_query(*one))
        .collect();
    if !parameters.is_empty() {
        operation["parameters"] = parameters.into();
    }
    if method == "POST" {
        operation["requestBody"] = body(route);
    }
    if route.requires_authentication() {
        operation["security"] = json!([{"token": []}]);
    }
    operation["responses"] = responses(route, method, schemas);
    operation
}

fn summary(route: Route, method: &str) -> &'static str {
    match (route, method) {
        (_, "OPTIONS") => "List the supported methods",
        (_, "HEAD") => "Like GET, without the body",
        (Route::Page, _) => "The web page",
        (Route::OpenApi, _) => "This document",
        (Route::Status, _) => "Instances with their state, its reason and the next edge",
        (Route::Start, _) => "Start instances, until the next edge or for a duration",
        (Route::Stop, _) => "Stop instances, until the next edge or for a duration",
        (Route::Resume, _) => "End overrides and apply the schedules",
        (Route::Schedules, _) => "Schedules with their desired states",
        (Route::Healthz, _) => "Check that the function works and has its configuration",
    }
}

fn in_query(parameter: ApiParameter) -> Value {
    let mut schema = schema_of(parameter);
    if parameter.repeats() {
        schema = json!({"type": "array", "items": schema});
    }
    let mut described = json!({
        "name": parameter.name(), "in": "query", "description": meaning(parameter), "schema": schema,
    });
    if parameter.repeats() {
        described["style"] = "form".into();
        described["explode"] = true.into();
    }
    described
}

/// Describes the parameters as the fields of a JSON object.
fn body(route: Route) -> Value {
    let fields: Map<String, Value> = route
        .parameters()
        .iter()
        .map(|parameter| {
            let one = schema_of(*parameter);
            let mut schema = if parameter.repeats() {
                json!({"oneOf": [one, {"type": "array", "items": one, "minItems": 1}]})
            } else {
                one
            };
            schema["description"] = meaning(*parameter).into();
            (parameter.name().to_owned(), schema)
        })
        .collect();
    let object = json!({"type": "object", "properties": fields, "additionalProperties": false});
    json!({
        "description": "The same parameters as in the query.",
        "required": false,
        "content": {"application/json": {"schema": object}},
    })
}

fn meaning(parameter: ApiParameter) -> &'static str {
    match parameter {
        ApiParameter::Instance => {
            "The id of an instance, or its name if no other instance has it; repeatable. Can't be combined with `schedule` or `tag`."
        }
        ApiParameter::Schedule => "Selects the instances that this schedule manages; repeatable.",
        ApiParameter::Tag => {
            "Selects the instances with this tag, written `Key=Value` or `Key:Value`; `*` and `?` are wildcards in the value. Repeatable: all must match."
        }
        ApiParameter::All => "Selects all matching or named instances, whatever their number.",
        ApiParameter::For => {
            "Override the schedule for this duration, such as `90m`, `2h` or `1d`; at most 31 days."
        }
        ApiParameter::Until => {
            "Override the schedule until this time, which is in the future and at most 31 days away: an instant in RFC 3339, a time such as `22:00` or `friday 18:00`, a date, or a date and time. Without an offset it is in the time zone of the instances' schedule, or in UTC if they have none."
        }
        ApiParameter::DryRun => "Report the planned changes without making them.",
        ApiParameter::Days => {
            "Add each schedule's timeline for this number of days, including today."
        }
    }
}

fn schema_of(parameter: ApiParameter) -> Value {
    match parameter {
        ApiParameter::Instance => {
            json!({"type": "string", "minLength": 1, "maxLength": 256, "pattern": r"\S", "examples": ["i-0abc1234def567890", "web-1"]})
        }
        ApiParameter::Schedule => {
            let pattern = "^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$";
            json!({"type": "string", "pattern": pattern, "examples": ["office"]})
        }
        ApiParameter::Tag => json!({"type": "string", "pattern": "^([^=]+=.+|[^=:]+:[^=]+)$"}),
        ApiParameter::All | ApiParameter::DryRun => json!({"type": "boolean", "default": false}),
        ApiParameter::For => json!({"type": "string", "examples": ["2h"]}),
        ApiParameter::Until => {
            json!({"type": "string", "examples": ["2026-11-27T18:00:00Z", "friday 18:00"]})
        }
        ApiParameter::Days => {
            json!({"type": "integer", "minimum": 1, "maximum": TimelineDays::MAX})
        }
    }
}

fn responses(route: Route, method: &str, schemas: &mut SchemaGenerator) -> Value {
    let with_body = method != "HEAD";
    let mut responses = BTreeMap::from([("200".to_owned(), success(route, with_body, schemas))]);
    if route == Route::Page {
        let unchanged = json!({
            "description": "The browser's cached page is current.",
            "headers": references(&["X-Request-Id", "ETag"]),
        });
        responses.insert("304".to_owned(), unchanged);
    }
    if route.effect() == Effect::Changes {
        let mut recorded = success(route, with_body, schemas);
        recorded["description"] = json!("Recorded; a call failed, and a later pass retries it.");
        responses.insert("202".to_owned(), recorded);
    }
    let mut by_status: BTreeMap<u16, Vec<ErrorCode>> = BTreeMap::new();
    for code in codes(route, method) {
        by_status.entry(code.status()).or_default().push(code);
    }
    for (status, codes) in by_status {
        let name = |code: &ErrorCode| format!("`{}`", json!(code).as_str().unwrap_or_default());
        let names: Vec<String> = codes.iter().map(name).collect();
        let mut headers = vec!["X-Request-Id", "Cache-Control"];
        headers.extend(match status {
            401 => Some("WWW-Authenticate"),
            429 | 503 => Some("Retry-After"),
            _ => None,
        });
        let mut response = json!({
            "description": format!("Codes: {}.", names.join(", ")),
            "headers": references(&headers),
        });
        if with_body {
            response["content"] = json!({"application/json": {"schema": failure(route, schemas)}});
        }
        responses.insert(status.to_string(), response);
    }
    json!(responses)
}

fn success(route: Route, with_body: bool, schemas: &mut SchemaGenerator) -> Value {
    let content = match route {
        Route::Page => json!({"text/html": {"schema": {"type": "string"}}}),
        Route::OpenApi => json!({"application/json": {"schema": {"type": "object"}}}),
        Route::Status => {
            json!({"application/json": {"schema": schemas.subschema_for::<StatusResponse>()}})
        }
        Route::Schedules => {
            json!({"application/json": {"schema": schemas.subschema_for::<SchedulesResponse>()}})
        }
        Route::Healthz => {
            json!({"application/json": {"schema": schemas.subschema_for::<HealthResponse>()}})
        }
        Route::Start | Route::Stop | Route::Resume => {
            json!({"application/json": {"schema": schemas.subschema_for::<ChangeResponse>()}})
        }
    };
    // The page contains no data of the fleet: browsers may cache it and revalidate it.
    let caching = if route == Route::Page {
        "ETag"
    } else {
        "Cache-Control"
    };
    let mut response = json!({
        "description": "Success.",
        "headers": references(&["X-Request-Id", caching]),
    });
    if with_body {
        response["content"] = content;
    }
    response
}

/// Describes an error response. A change that fails for some instances still lists all of them, with the error.
fn failure(route: Route, schemas: &mut SchemaGenerator) -> Value {
    let problem = schemas.subschema_for::<ErrorResponse>();
    if route.effect() == Effect::Changes {
        json!({"anyOf": [problem, schemas.subschema_for::<ChangeResponse>()]})
    } else {
        json!(problem)
    }
}

/// Lists the error codes of an operation.
fn codes(route: Route, method: &str) -> Vec<ErrorCode> {
    use ErrorCode::{
        AmbiguousName, BadBody, BadParameter, BadTime, Denied, Forbidden, Internal,
        InvalidConfiguration, NoCapacity, NoCredentials, NotFound, NotManaged, NothingMatched,
        OutOfTime, Protected, Refused, TargetRequired, Throttled, TooMany, Unauthorized,
        UnknownInstance, UnknownSchedule, Unreachable, UpstreamError, WrongState,
    };
    let cloud = [
        Denied,
        NotFound,
        Throttled,
        Refused,
        Unreachable,
        UpstreamError,
        NoCredentials,
    ];
    let configuration = [
        BadParameter,
        TooMany,
        InvalidConfiguration,
        OutOfTime,
        Internal,
    ];
    let mut codes: Vec<ErrorCode> = match route {
        Route::Page | Route::OpenApi => return Vec::new(),
        Route::Healthz => configuration.to_vec(),
        Route::Schedules => [&configuration[..], &[Unauthorized]].concat(),
        Route::Status => {
            let own = [
                Unauthorized,
                AmbiguousName,
                UnknownInstance,
                UnknownSchedule,
            ];
            [&configuration[..], &own, &cloud].concat()
        }
        Route::Start | Route::Stop | Route::Resume => {
            let own = [
                Unauthorized,
                Forbidden,
                TargetRequired,
                AmbiguousName,
                UnknownInstance,
                UnknownSchedule,
                NothingMatched,
                NotManaged,
                Protected,
                WrongState,
                NoCapacity,
            ];
            [&configuration[..], &own, &cloud].concat()
        }
    };
    if method == "POST" {
        codes.push(BadBody);
    }
    if route.parameters().contains(&ApiParameter::Until) {
        codes.push(BadTime);
    }
    codes.sort();
    codes
}

fn headers() -> Value {
    let header = |description: &str, schema: Value, required: bool| json!({"description": description, "schema": schema, "required": required});
    let text = || json!({"type": "string"});
    json!({
        "X-Request-Id": header("The request id, as in the body and in the log.", text(), true),
        "Cache-Control": header("Responses must not be cached.", json!({"const": "no-store"}), true),
        "ETag": header("Identifies the release's page.", text(), true),
        "Allow": header("The methods that the path supports.", text(), true),
        "WWW-Authenticate": header("The authentication scheme of the deployment.", text(), true),
        "Retry-After": header("The number of seconds after which to retry.", json!({"type": "integer"}), true),
    })
}

fn references(headers: &[&str]) -> Value {
    let reference = |name: &&str| {
        let reference = json!({"$ref": format!("#/components/headers/{name}")});
        ((*name).to_owned(), reference)
    };
    Value::Object(headers.iter().map(reference).collect())
}

/// The response documents: each contains the request id along with its own fields.
const RESPONSES: [&str; 5] = [
    "StatusResponse",
    "SchedulesResponse",
    "ChangeResponse",
    "HealthResponse",
    "ErrorResponse",
];

fn add_request_id(schema: &mut Value) {
    schema["properties"]["request_id"] = json!({
        "description": "The request id, which is also in each line of the function's log.",
        "type": "string",
    });
    if let Some(required) = schema["required"].as_array_mut() {
        required.push("request_id".into());
    }
}

/// Removes titles, Rust examples and the source's line breaks from the descriptions.
fn tidy(schema: &mut Value) {
    if let Ok(schema) = <&mut Schema>::try_from(schema) {
        RecursiveTransform(|schema: &mut Schema| {
            for key in ["title", "$schema"] {
                schema.remove(key);
            }
            if let Some(Value::String(text)) = schema.get_mut("description") {
                let first = text.split("\n\n").next().unwrap_or_default();
                *text = first.replace('\n', " ");
            }
        })
        .transform(schema);
    }
}
