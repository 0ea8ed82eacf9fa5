//! The function: an event comes in, an answer goes out, whatever the event is.

use curfew_core::state_tags::Actor;
use serde::Serialize;
use serde_json::{Map, Value};
use tracing::{Instrument as _, error, info, info_span, warn};

use crate::answer::{Health, Problem};
use crate::app::App;
use crate::command::Command;
use crate::configuration::FRESH;
use crate::event::{Invocation, UnknownEvent};
use crate::http::{Request, Response};
use crate::invocation_context::{Call, in_time};
use crate::json::{Document, RepeatedKey};
use crate::openapi;
use crate::page;
use crate::refusal::{Code, Refusal, quoted};
use crate::route::Route;

/// An invocation that is not answered but fails, so that Lambda counts it, and tries again where that is its custom.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// A code, as in [`Refusal`], or `unknown_event`.
    pub kind: String,
    /// One sentence.
    pub message: String,
}

impl App {
    /// Takes an event and answers it. HTTP requests and direct commands are always answered, if need be with an error; triggers
    /// and events that nobody understands fail instead, since nobody reads their answer.
    pub async fn handle(&self, event: &Value, call: &Call) -> Result<Value, Failure> {
        let span = info_span!("invocation", request_id = call.request_id);
        self.take(Ok(event), call).instrument(span).await
    }

    /// The same for an event as Lambda sent it, which may repeat a key and is refused then.
    pub async fn receive(&self, event: &Document, call: &Call) -> Result<Value, Failure> {
        let span = info_span!("invocation", request_id = call.request_id);
        let event = event.unambiguous();
        self.take(event, call).instrument(span).await
    }

    async fn take(
        &self,
        event: Result<&Value, RepeatedKey>,
        call: &Call,
    ) -> Result<Value, Failure> {
        let invocation = event.map_err(UnknownEvent::from).and_then(Invocation::read);
        let invocation = invocation.map_err(|unknown| {
            warn!(error = %unknown, "event refused");
            Failure {
                kind: "unknown_event".to_owned(),
                message: unknown.to_string(),
            }
        })?;
        match invocation {
            Invocation::Http(request) => Ok(self.http(&request, call).await.envelope()),
            Invocation::Direct {
                command,
                parameters,
            } => {
                let answer = self.direct(&command, &parameters, call);
                let (status, document) = conclude(in_time(call, Box::pin(answer)).await, call);
                let refused = document["error"]["code"].as_str();
                info!(
                    command = quoted(&command),
                    status, refused, "command answered"
                );
                Ok(document)
            }
            Invocation::PassTrigger(trigger) => {
                let pass = self.wake(&trigger, call.deadline());
                report(in_time(call, Box::pin(pass)).await)
            }
            Invocation::Work(work) => {
                let pass = self.work(&work, call.deadline());
                report(in_time(call, Box::pin(pass)).await)
            }
            Invocation::Queue(messages) => {
                Ok(Answer::of(&self.worked(&messages, call).await).document)
            }
            Invocation::StateChange(change) => {
                let pass = self.state_changed(&change, call.deadline());
                report(in_time(call, Box::pin(pass)).await)
            }
        }
    }

    async fn direct(
        &self,
        command: &str,
        parameters: &Map<String, Value>,
        call: &Call,
    ) -> Result<Answer, Refusal> {
        let route = Route::commanded(command).ok_or_else(|| {
            Refusal::parameter(
                format!("there is no command {}", quoted(command)),
                "commands are the paths of the API without their slash, and `wake`",
            )
        })?;
        let command = Command::of_fields(route, parameters, self.clock.now())?;
        self.answer(command, Actor::new("direct"), call).await
    }

    async fn http(&self, request: &Request, call: &Call) -> Response {
        let route = Route::of(request);
        let admitted = route.clone().and_then(|route| {
            let by = self
                .auth
                .admit(request, route, self.cors_origin.as_deref())?;
            Ok((route, by))
        });
        let by = admitted.as_ref().ok().map(|(_, by)| by.clone());
        let mut refused = None;
        let mut response = match (&route, admitted) {
            (Ok(_), _) if request.method == "OPTIONS" => Response::empty(204),
            (Ok(Route::Page), _) => page::response(request),
            (Ok(Route::OpenApi), _) => openapi::response(),
            (_, admitted) => {
                let answer = self.requested(request, admitted, call);
                let (status, document) = conclude(in_time(call, Box::pin(answer)).await, call);
                refused = document["error"]["code"].as_str().map(str::to_owned);
                Response::json(status, &document)
            }
        };
        self.complete(&mut response, request, call);
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
        request: &Request,
        admitted: Result<(Route, Actor), Refusal>,
        call: &Call,
    ) -> Result<Answer, Refusal> {
        let (route, by) = admitted?;
        let command = Command::of_request(route, request, self.clock.now())?;
        self.answer(command, by, call).await
    }

    /// Headers that follow from the status, and what the method leaves out.
    fn complete(&self, response: &mut Response, request: &Request, call: &Call) {
        let headers = &mut response.headers;
        headers.insert("X-Request-Id", call.request_id.clone());
        if matches!(response.status, 204 | 405) {
            let methods = Route::at(request).map_or(&[][..], Route::methods);
            headers.insert("Allow", methods.join(", "));
        }
        if response.status == 401 {
            headers.insert("WWW-Authenticate", self.auth.challenge().to_owned());
        }
        let retry_after = match response.status {
            429 => Code::Throttled.retry_after(),
            503 => Code::CloudFailed.retry_after(),
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
                // Ten minutes without another preflight.
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

    async fn answer(&self, command: Command, by: Actor, call: &Call) -> Result<Answer, Refusal> {
        match command {
            Command::Status(targets) => {
                Ok(Answer::of(&self.status(&targets, call.deadline()).await?))
            }
            Command::Schedules(days) => Ok(Answer::of(&self.schedules(days).await?)),
            Command::Healthz => {
                self.configuration.current(&self.clock, FRESH).await?;
                Ok(Answer::of(&Health {
                    status: "ok",
                    version: env!("CARGO_PKG_VERSION"),
                }))
            }
            Command::Change { ask, targets, mode } => {
                let changes = self
                    .change(ask, &targets, mode, by, call.deadline())
                    .await?;
                let mut answer = Answer::of(&changes);
                if changes.await_a_later_pass() {
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

/// A document and its status.
#[derive(Debug)]
struct Answer {
    status: u16,
    document: Value,
}

impl Answer {
    fn of(document: &impl Serialize) -> Self {
        Self {
            status: 200,
            document: serde_json::to_value(document)
                .expect("our documents have text keys and no numbers that JSON lacks"),
        }
    }
}

fn conclude(answer: Result<Answer, Refusal>, call: &Call) -> (u16, Value) {
    let (status, mut document) = match answer {
        Ok(Answer { status, document }) => (status, document),
        Err(error) => (error.code.status(), Answer::of(&Problem { error }).document),
    };
    document["request_id"] = Value::from(call.request_id.as_str());
    (status, document)
}

fn report<T: Serialize>(outcome: Result<T, Refusal>) -> Result<Value, Failure> {
    match outcome {
        Ok(report) => Ok(Answer::of(&report).document),
        Err(refusal) => {
            error!(code = ?refusal.code, error = %refusal, "pass failed");
            let kind = serde_json::to_value(refusal.code).ok();
            Err(Failure {
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
