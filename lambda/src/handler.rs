//! Handles one event: authenticates, dispatches and answers HTTP requests, and runs the passes that triggers cause.

use curfew_core::error_code::ErrorCode;
use curfew_core::state_tags::Actor;
use serde::Serialize;
use serde_json::{Map, Value};
use tracing::{Instrument as _, error, info, info_span, warn};

use crate::api_error::{ApiError, HttpErrorCode as _, quoted};
use crate::app::App;
use crate::command::ApiCommand;
use crate::configuration_cache::MAX_AGE;
use crate::event::{Invocation, UnknownEvent};
use crate::http::{HttpRequest, HttpResponse};
use crate::invocation_context::{InvocationContext, before_deadline};
use crate::json::{JsonDocument, RepeatedKey};
use crate::openapi;
use crate::page;
use crate::responses::{ErrorResponse, HealthResponse};
use crate::route::Route;

/// Fails the invocation, so that Lambda counts the error and, for asynchronous events, retries.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct InvocationFailure {
    /// A code of [`ApiError`], or `unknown_event`.
    pub kind: String,
    /// The error in one sentence.
    pub message: String,
}

impl App {
    /// Handles an event and returns its response. HTTP requests and direct commands always get a response, which may be an error.
    /// Failed triggers and unknown events fail the invocation instead, because their response is not read.
    pub async fn handle(
        &self,
        event: &Value,
        context: &InvocationContext,
    ) -> Result<Value, InvocationFailure> {
        let span = info_span!("invocation", request_id = context.request_id);
        self.dispatch(Ok(event), context).instrument(span).await
    }

    /// Handles an event as Lambda sent it. Fails if an object in it repeats a key.
    pub async fn receive(
        &self,
        event: &JsonDocument,
        context: &InvocationContext,
    ) -> Result<Value, InvocationFailure> {
        let span = info_span!("invocation", request_id = context.request_id);
        let event = event.unambiguous();
        self.dispatch(event, context).instrument(span).await
    }

    async fn dispatch(
        &self,
        event: Result<&Value, RepeatedKey>,
        context: &InvocationContext,
    ) -> Result<Value, InvocationFailure> {
        let invocation = event.map_err(UnknownEvent::from).and_then(Invocation::read);
        let invocation = invocation.map_err(|unknown| {
            warn!(error = %unknown, "event refused");
            InvocationFailure {
                kind: "unknown_event".to_owned(),
                message: unknown.to_string(),
            }
        })?;
        match invocation {
            Invocation::Http(request) => Ok(self.http(&request, context).await.envelope()),
            Invocation::Direct {
                command,
                parameters,
            } => {
                let answer = self.direct(&command, &parameters, context);
                let (status, document) =
                    into_parts(before_deadline(context, Box::pin(answer)).await, context);
                let refused = document["error"]["code"].as_str();
                info!(
                    command = quoted(&command),
                    status, refused, "command answered"
                );
                Ok(document)
            }
            Invocation::PassTrigger(trigger) => {
                let pass = self.handle_trigger(&trigger, context.deadline());
                pass_result(before_deadline(context, Box::pin(pass)).await)
            }
            Invocation::Work(work) => {
                let pass = self.run_work(&work, context.deadline());
                pass_result(before_deadline(context, Box::pin(pass)).await)
            }
            Invocation::Queue(messages) => {
                Ok(ApiResponse::of(&self.process_messages(&messages, context).await).document)
            }
            Invocation::StateChange(change) => {
                let pass = self.state_changed(&change, context.deadline());
                pass_result(before_deadline(context, Box::pin(pass)).await)
            }
        }
    }

    async fn direct(
        &self,
        command: &str,
        parameters: &Map<String, Value>,
        context: &InvocationContext,
    ) -> Result<ApiResponse, ApiError> {
        let route = Route::of_command(command).ok_or_else(|| {
            ApiError::bad_parameter(
                format!("unknown command {}", quoted(command)),
                "use a path of the API without its slash, or `wake`",
            )
        })?;
        let command = ApiCommand::of_fields(route, parameters, self.clock.now())?;
        self.answer(command, Actor::new("direct"), context).await
    }

    async fn http(&self, request: &HttpRequest, context: &InvocationContext) -> HttpResponse {
        let route = Route::of(request);
        let admitted = route.clone().and_then(|route| {
            let by = self
                .auth
                .authenticate(request, route, self.cors_origin.as_deref())?;
            Ok((route, by))
        });
        let by = admitted.as_ref().ok().map(|(_, by)| by.clone());
        let mut refused = None;
        let mut response = match (&route, admitted) {
            (Ok(_), _) if request.method == "OPTIONS" => HttpResponse::empty(204),
            (Ok(Route::Page), _) => page::response(request),
            (Ok(Route::OpenApi), _) => openapi::response(),
            (_, admitted) => {
                let answer = self.requested(request, admitted, context);
                let (status, document) =
                    into_parts(before_deadline(context, Box::pin(answer)).await, context);
                refused = document["error"]["code"].as_str().map(str::to_owned);
                HttpResponse::json(status, &document)
            }
        };
        self.complete(&mut response, request, context);
        info!(
            route = route.map_or("none", Route::name),
            method = request.method,
            status = response.status,
            refused = refused.as_deref(),
            by = by.as_ref().map(Actor::as_str),
            caller = request.caller,
            source_ip = request.source_ip.as_deref().filter(|_| refused.is_some()),
            "request answered"
        );
        response
    }

    async fn requested(
        &self,
        request: &HttpRequest,
        admitted: Result<(Route, Actor), ApiError>,
        context: &InvocationContext,
    ) -> Result<ApiResponse, ApiError> {
        let (route, by) = admitted?;
        let command = ApiCommand::of_request(route, request, self.clock.now())?;
        self.answer(command, by, context).await
    }

    /// Adds the headers that depend on the status, and removes the body from responses to HEAD.
    fn complete(
        &self,
        response: &mut HttpResponse,
        request: &HttpRequest,
        context: &InvocationContext,
    ) {
        let headers = &mut response.headers;
        headers.insert("X-Request-Id", context.request_id.clone());
        if matches!(response.status, 204 | 405) {
            let methods = Route::at(request).map_or(&[][..], Route::methods);
            headers.insert("Allow", methods.join(", "));
        }
        if response.status == 401 {
            headers.insert("WWW-Authenticate", self.auth.challenge().to_owned());
        }
        let retry_after = match response.status {
            429 => ErrorCode::Throttled.retry_after(),
            503 => ErrorCode::UpstreamError.retry_after(),
            _ => None,
        };
        if let Some(seconds) = retry_after {
            headers.insert("Retry-After", seconds.to_string());
        }
        if let Some(origin) = &self.cors_origin {
            headers.insert("Access-Control-Allow-Origin", origin.clone());
            headers.insert("Vary", "Origin".to_owned());
            if request.method == "OPTIONS" {
                let allowed = headers.get("Allow").cloned().unwrap_or_default();
                headers.insert("Access-Control-Allow-Methods", allowed);
                headers.insert(
                    "Access-Control-Allow-Headers",
                    "authorization, content-type".to_owned(),
                );
                // Browsers cache the preflight for ten minutes.
                headers.insert("Access-Control-Max-Age", "600".to_owned());
            }
            headers.insert(
                "Access-Control-Expose-Headers",
                "retry-after, www-authenticate, x-request-id".to_owned(),
            );
        }
        if request.method == "HEAD" {
            response.body.clear();
        }
    }

    async fn answer(
        &self,
        command: ApiCommand,
        by: Actor,
        context: &InvocationContext,
    ) -> Result<ApiResponse, ApiError> {
        match command {
            ApiCommand::Status(targets) => Ok(ApiResponse::of(
                &self.status(&targets, context.deadline()).await?,
            )),
            ApiCommand::Schedules(days) => Ok(ApiResponse::of(&self.schedules(days).await?)),
            ApiCommand::Healthz => {
                self.configuration.current(&self.clock, MAX_AGE).await?;
                Ok(ApiResponse::of(&HealthResponse {
                    status: "ok",
                    version: env!("CARGO_PKG_VERSION"),
                }))
            }
            ApiCommand::Change { ask, targets, mode } => {
                let changes = self
                    .change(ask, &targets, mode, by, context.deadline())
                    .await?;
                let mut answer = ApiResponse::of(&changes);
                if changes.has_recorded() {
                    answer.status = 202;
                }
                if let Some(refusal) = &changes.error {
                    answer.status = refusal.code.status();
                }
                Ok(answer)
            }
        }
    }
}

/// A response document and its HTTP status.
#[derive(Debug)]
struct ApiResponse {
    status: u16,
    document: Value,
}

impl ApiResponse {
    fn of(document: &impl Serialize) -> Self {
        Self {
            status: 200,
            document: serde_json::to_value(document)
                .expect("response documents have string keys and finite numbers"),
        }
    }
}

fn into_parts(answer: Result<ApiResponse, ApiError>, context: &InvocationContext) -> (u16, Value) {
    let (status, mut document) = match answer {
        Ok(ApiResponse { status, document }) => (status, document),
        Err(error) => (
            error.code.status(),
            ApiResponse::of(&ErrorResponse { error }).document,
        ),
    };
    document["request_id"] = Value::from(context.request_id.as_str());
    (status, document)
}

fn pass_result<T: Serialize>(outcome: Result<T, ApiError>) -> Result<Value, InvocationFailure> {
    match outcome {
        Ok(report) => Ok(ApiResponse::of(&report).document),
        Err(refusal) => {
            error!(code = ?refusal.code, error = %refusal, "pass failed");
            let kind = serde_json::to_value(refusal.code).ok();
            Err(InvocationFailure {
                kind: kind
                    .as_ref()
                    .and_then(Value::as_str)
                    .unwrap_or_default()
                    .to_owned(),
                message: refusal.to_string(),
            })
        }
    }
}
