//! Making the document: its schemas come from the types, its paths and parameters from [`Route`], its errors from [`Code`].

use std::collections::BTreeMap;

use schemars::generate::SchemaSettings;
use schemars::transform::{RecursiveTransform, Transform as _};
use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use crate::answer::{Changes, Health, Overview, Problem, Schedules};
use crate::command::Days;
use crate::parameter::Parameter;
use crate::refusal::Code;
use crate::route::{Effect, Route};

/// The OpenAPI document of this API, indented, with a line's end.
pub fn describe() -> String {
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
        if ANSWERS.contains(&name.as_str()) {
            carries_request_id(schema);
        }
    }
    let document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Curfew",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "Starts and stops EC2 instances on time.",
            "description": ABOUT,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        // Relative to where this document is, which is behind the stage.
        "servers": [{"url": ".", "description": "The stage that serves this document."}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "With `auth = \"token\"`: a token that `curfew token new` made.",
                },
            },
            "headers": headers(),
        },
    });
    serde_json::to_string_pretty(&document).expect("a document is plain data") + "\n"
}

const ABOUT: &str = "\
Every answer carries its request's id, which the function's log has in each line, and none may be stored.

A deployment asks for a token (`auth = \"token\"`), for a request that an IAM identity signed with AWS Signature Version 4 (`iam`), or, on an \
emulator, for nothing (`none`).

API Gateway answers by itself, in its own words, what it does not let through: 403 for a signature that it does not accept, and 429 \
for more than ten requests in a second.";

/// A path with its operations.
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
            "description": "The methods that this path takes.",
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
    if route.is_guarded() {
        operation["security"] = json!([{"token": []}]);
    }
    operation["responses"] = responses(route, method, schemas);
    operation
}

fn summary(route: Route, method: &str) -> &'static str {
    match (route, method) {
        (_, "OPTIONS") => "Which methods there are",
        (_, "HEAD") => "As GET, without the body",
        (Route::Page, _) => "The page for people",
        (Route::OpenApi, _) => "This document",
        (Route::Status, _) => "How the instances are, why, and what is next",
        (Route::Start, _) => "Start instances, until the next edge or for a while",
        (Route::Stop, _) => "Stop instances, until the next edge or for a while",
        (Route::Resume, _) => "End overrides, and do what the schedules want",
        (Route::Schedules, _) => "What the schedules are, and what they want",
        (Route::Healthz, _) => "Whether the function works and has its configuration",
    }
}

fn in_query(parameter: Parameter) -> Value {
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

/// The same parameters, as the fields of a JSON object or of a form.
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
        "description": "The parameters once more, for those who prefer a body to a query.",
        "required": false,
        "content": {"application/json": {"schema": object}},
    })
}

fn meaning(parameter: Parameter) -> &'static str {
    match parameter {
        Parameter::Instance => {
            "An instance's id; repeatable. Not together with `schedule` or `tag`."
        }
        Parameter::Schedule => "Instances that this schedule manages; repeatable.",
        Parameter::Tag => {
            "Instances that carry this tag, written `Key:Value`; `*` and `?` are wildcards in the value. Repeatable: all must fit."
        }
        Parameter::All => "Everything that fits or is named, however many instances that are.",
        Parameter::For => "Hold them for this long, such as `90m`, `2h` or `1d`; at most 31 days.",
        Parameter::Until => {
            "Hold them until this instant, which is ahead and at most 31 days away."
        }
        Parameter::DryRun => "Say what would be done, and do nothing.",
        Parameter::Days => "Add each schedule's timeline for so many of its days, today included.",
    }
}

fn schema_of(parameter: Parameter) -> Value {
    match parameter {
        Parameter::Instance => {
            json!({"type": "string", "pattern": "^i-([0-9a-f]{8}|[0-9a-f]{17})$"})
        }
        Parameter::Schedule => {
            let pattern = "^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$";
            json!({"type": "string", "pattern": pattern, "examples": ["office"]})
        }
        Parameter::Tag => json!({"type": "string", "pattern": "^[^:]+:.+$"}),
        Parameter::All | Parameter::DryRun => json!({"type": "boolean", "default": false}),
        Parameter::For => json!({"type": "string", "examples": ["2h"]}),
        Parameter::Until => json!({"type": "string", "format": "date-time"}),
        Parameter::Days => json!({"type": "integer", "minimum": 1, "maximum": Days::MOST}),
    }
}

fn responses(route: Route, method: &str, schemas: &mut SchemaGenerator) -> Value {
    let with_body = method != "HEAD";
    let mut responses = BTreeMap::from([("200".to_owned(), good(route, with_body, schemas))]);
    if route == Route::Page {
        let unchanged = json!({
            "description": "The page that the browser has is still the right one.",
            "headers": references(&["X-Request-Id", "ETag"]),
        });
        responses.insert("304".to_owned(), unchanged);
    }
    if route.effect() == Effect::Changes {
        let mut recorded = good(route, with_body, schemas);
        recorded["description"] =
            json!("Recorded; a call came to nothing, and a later pass makes it.");
        responses.insert("202".to_owned(), recorded);
    }
    let mut by_status: BTreeMap<u16, Vec<Code>> = BTreeMap::new();
    for code in codes(route, method) {
        by_status.entry(code.status()).or_default().push(code);
    }
    for (status, codes) in by_status {
        let name = |code: &Code| format!("`{}`", json!(code).as_str().unwrap_or_default());
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
            response["content"] = json!({"application/json": {"schema": refused(route, schemas)}});
        }
        responses.insert(status.to_string(), response);
    }
    json!(responses)
}

fn good(route: Route, with_body: bool, schemas: &mut SchemaGenerator) -> Value {
    let content = match route {
        Route::Page => json!({"text/html": {"schema": {"type": "string"}}}),
        Route::OpenApi => json!({"application/json": {"schema": {"type": "object"}}}),
        Route::Status => {
            json!({"application/json": {"schema": schemas.subschema_for::<Overview>()}})
        }
        Route::Schedules => {
            json!({"application/json": {"schema": schemas.subschema_for::<Schedules>()}})
        }
        Route::Healthz => {
            json!({"application/json": {"schema": schemas.subschema_for::<Health>()}})
        }
        Route::Start | Route::Stop | Route::Resume => {
            json!({"application/json": {"schema": schemas.subschema_for::<Changes>()}})
        }
    };
    // The page holds nothing that could grow old: browsers may keep it, and ask whether it is still the right one.
    let caching = if route == Route::Page {
        "ETag"
    } else {
        "Cache-Control"
    };
    let mut response = json!({
        "description": "Done.",
        "headers": references(&["X-Request-Id", caching]),
    });
    if with_body {
        response["content"] = content;
    }
    response
}

/// A change that fails for some of its instances answers as for the others, with the error beside them.
fn refused(route: Route, schemas: &mut SchemaGenerator) -> Value {
    let problem = schemas.subschema_for::<Problem>();
    if route.effect() == Effect::Changes {
        json!({"anyOf": [problem, schemas.subschema_for::<Changes>()]})
    } else {
        json!(problem)
    }
}

/// What can go wrong there.
fn codes(route: Route, method: &str) -> Vec<Code> {
    use Code::{
        BadBody, BadParameter, CloudFailed, Denied, Forbidden, Internal, NeverTouched, NoCapacity,
        NoConfiguration, NoCredentials, NotFound, NotManaged, NothingMatched, OutOfTime, Refused,
        TargetNeeded, Throttled, TooMany, Unauthorized, UnknownInstance, UnknownSchedule,
        Unreachable, WrongState,
    };
    let cloud = [
        Denied,
        NotFound,
        Throttled,
        Refused,
        Unreachable,
        CloudFailed,
        NoCredentials,
    ];
    let configuration = [BadParameter, TooMany, NoConfiguration, OutOfTime, Internal];
    let mut codes: Vec<Code> = match route {
        Route::Page | Route::OpenApi => return Vec::new(),
        Route::Healthz => configuration.to_vec(),
        Route::Schedules => [&configuration[..], &[Unauthorized]].concat(),
        Route::Status => {
            let own = [Unauthorized, UnknownInstance, UnknownSchedule];
            [&configuration[..], &own, &cloud].concat()
        }
        Route::Start | Route::Stop | Route::Resume => {
            let own = [
                Unauthorized,
                Forbidden,
                TargetNeeded,
                UnknownInstance,
                UnknownSchedule,
                NothingMatched,
                NotManaged,
                NeverTouched,
                WrongState,
                NoCapacity,
            ];
            [&configuration[..], &own, &cloud].concat()
        }
    };
    if method == "POST" {
        codes.push(BadBody);
    }
    codes.sort();
    codes
}

fn headers() -> Value {
    let header = |description: &str, schema: Value, required: bool| json!({"description": description, "schema": schema, "required": required});
    let text = || json!({"type": "string"});
    json!({
        "X-Request-Id": header("The request's id, as in the answer and in the log.", text(), true),
        "Cache-Control": header("No answer may be stored.", json!({"const": "no-store"}), true),
        "ETag": header("Tells one release's page from another's.", text(), true),
        "Allow": header("The methods that the path takes.", text(), true),
        "WWW-Authenticate": header("What the deployment asks for.", text(), true),
        "Retry-After": header("After how many seconds trying again makes sense.", json!({"type": "integer"}), true),
    })
}

fn references(headers: &[&str]) -> Value {
    let reference = |name: &&str| {
        let reference = json!({"$ref": format!("#/components/headers/{name}")});
        ((*name).to_owned(), reference)
    };
    Value::Object(headers.iter().map(reference).collect())
}

/// The documents that are answers: each carries its request's id beside its own fields.
const ANSWERS: [&str; 5] = ["Status", "Schedules", "Changes", "Health", "Problem"];

fn carries_request_id(schema: &mut Value) {
    schema["properties"]["request_id"] = json!({
        "description": "The request's id, which the function's log has in each line.",
        "type": "string",
    });
    if let Some(required) = schema["required"].as_array_mut() {
        required.push("request_id".into());
    }
}

/// Leaves out what only Rust needs, examples in its language among it, and joins lines that only the source breaks.
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
