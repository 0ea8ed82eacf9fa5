//! One request and its response, independent of the transport: caller, service, and faults.

use jiff::Timestamp;
use tokio::time::Instant;

use super::outgoing::OutgoingResponse;
use super::{RequestHandler, closed_by_server, ec2_xml, query, sqs, sts};
use crate::action::Service;
use crate::caller::ApiCaller;
use crate::caller::SessionCredentials;
use crate::error::ModelError;
use crate::fault::Symptom;
use crate::ids::Home;
use crate::queue::QueueCall;
use crate::request::{ApiRequest, ModelResponse};

/// The interval at which a long poll checks for messages. AWS responds at once; a test should not wait noticeably.
const POLL_INTERVAL: std::time::Duration = std::time::Duration::from_millis(20);

/// The parts of a request that a service reads.
pub(super) struct IncomingRequest {
    authorization: Option<String>,
    signed_at: Option<Timestamp>,
    token: Option<String>,
    /// The action, in the JSON protocol.
    target: Option<String>,
    body: Vec<u8>,
}

/// The result of an exchange.
pub(super) enum ExchangeOutcome {
    Answered(OutgoingResponse),
    /// The connection is reset.
    Reset,
    /// There is no response until the server is dropped.
    Silence,
}

impl IncomingRequest {
    pub(super) fn new<'a>(header: impl Fn(&str) -> Option<&'a str>, body: &[u8]) -> Self {
        let text = |name| header(name).map(str::to_owned);
        Self {
            authorization: text("authorization"),
            signed_at: header("x-amz-date").and_then(read_signing_time),
            token: text("x-amz-security-token"),
            target: text("x-amz-target"),
            body: body.to_owned(),
        }
    }

    /// The credential scope, `KEY/DATE/REGION/SERVICE/aws4_request`. The signature is not verified.
    fn scope(&self) -> impl Iterator<Item = &str> {
        self.authorization
            .as_deref()
            .and_then(|value| value.split_once("Credential="))
            .map_or("", |(_, scope)| scope)
            .split('/')
    }

    fn service(&self) -> Service {
        if self.target.is_some() {
            Service::Sqs
        } else if self.scope().nth(3) == Some(Service::Sts.name()) {
            Service::Sts
        } else {
            Service::Ec2
        }
    }

    /// Identifies the caller. A key of twelve digits is the account, as on the emulators; temporary credentials are
    /// looked up; any other key belongs to account 000000000000.
    fn caller(&self) -> ApiCaller {
        let mut caller = ApiCaller {
            signed_at: self.signed_at,
            ..ApiCaller::default()
        };
        let mut parts = self.scope();
        let key = parts.next().unwrap_or_default();
        if key.len() == 12 && key.bytes().all(|byte| byte.is_ascii_digit()) {
            key.clone_into(&mut caller.home.account);
        }
        if key.starts_with(SessionCredentials::PREFIX) {
            caller.session = Some(SessionCredentials {
                key: key.to_owned(),
                token: self.token.clone(),
            });
        }
        if let Some(region) = parts.nth(1) {
            region.clone_into(&mut caller.home.region);
        }
        caller
    }

    fn parse(&self) -> (String, Result<ApiRequest, ModelError>) {
        if let Some(target) = &self.target {
            return sqs::parse(target, &self.body);
        }
        // A body that isn't a form names no action, which is an error.
        let form: Vec<(String, String)> = form_urlencoded::parse(&self.body).into_owned().collect();
        match self.service() {
            Service::Sts => sts::parse(&form),
            Service::Ec2 | Service::Sqs => query::parse(&form),
        }
    }
}

/// Passes a request to the model and returns its response, with the effects of faults.
pub(super) async fn exchange(face: &RequestHandler, incoming: &IncomingRequest) -> ExchangeOutcome {
    face.advance_time();
    let model = &face.model;
    let service = incoming.service();
    let caller = incoming.caller();
    let (name, request) = incoming.parse();
    let parsed = request.as_ref().ok().cloned();
    let mut reply = model.receive(&caller, &name, request);
    if let (Some(Ok(first)), Some(ApiRequest::Queue(call))) = (&mut reply.answer, &parsed) {
        let waited = face.wait_for_message(&reply.home, call, first).await;
        if let Some(answer) = waited {
            *first = answer;
        }
    }
    match &reply.symptom {
        Some(Symptom::Latency(late)) => tokio::time::sleep(*late).await,
        Some(Symptom::Hang) => return ExchangeOutcome::Silence,
        Some(Symptom::Reset | Symptom::ResetAfter) => return ExchangeOutcome::Reset,
        _ => {}
    }
    let Some(result) = &reply.answer else {
        return ExchangeOutcome::Silence;
    };
    let mut outgoing = match service {
        Service::Ec2 => ec2_xml::outgoing(&name, &reply.request_id, result, &reply.home),
        Service::Sqs => sqs::outgoing(&reply.request_id, result),
        Service::Sts => sts::outgoing(&name, &reply.request_id, result),
    };
    if reply.symptom == Some(Symptom::Truncated) {
        let body = &mut outgoing.body;
        body.truncate(body.floor_char_boundary(body.len() / 2));
    }
    if let Some(now) = model.announced_time() {
        let date = now.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        outgoing.headers.push(("date", date));
    }
    ExchangeOutcome::Answered(outgoing)
}

impl RequestHandler {
    /// Waits, as a long poll does, until there is a message or the wait time is over.
    async fn wait_for_message(
        &self,
        home: &Home,
        call: &QueueCall,
        first: &ModelResponse,
    ) -> Option<ModelResponse> {
        let ModelResponse::Received(messages) = first else {
            return None;
        };
        let deadline = Instant::now() + call.wait();
        let mut empty = messages.is_empty();
        let mut found = None;
        while empty && Instant::now() < deadline {
            tokio::select! {
                () = tokio::time::sleep(POLL_INTERVAL) => {}
                () = closed_by_server(self.closed.clone()) => break,
            }
            self.advance_time();
            found = self.model.receive_again(home, call);
            empty =
                matches!(&found, Some(ModelResponse::Received(messages)) if messages.is_empty());
        }
        found
    }
}

/// Parses a signing time such as `20261123T190000Z`.
fn read_signing_time(text: &str) -> Option<Timestamp> {
    jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", text)
        .ok()?
        .to_zoned(jiff::tz::TimeZone::UTC)
        .ok()
        .map(|at| at.timestamp())
}
