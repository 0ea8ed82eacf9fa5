//! A web server that receives notifications: webhooks as JSON, SNS requests as forms.

use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use curfew_model::Model;
use jiff::ToSpan;
use serde_json::Value;
use tokio::net::TcpListener;

/// The response to a request. Requests without a planned reply succeed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reply {
    Status(u16),
    /// Status 429 with this many seconds in `Retry-After`.
    RetryAfter(u32),
    /// The connection stays open without a response.
    Hang,
    /// A connection that closes without a response.
    Cut,
}

#[derive(Clone, Debug)]
pub(crate) struct Inbox {
    address: std::net::SocketAddr,
    state: Arc<Mutex<InboxState>>,
}

#[derive(Debug, Default)]
struct InboxState {
    replies: VecDeque<Reply>,
    received: Vec<Value>,
    requests: usize,
}

impl Inbox {
    pub(crate) async fn open() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let inbox = Self {
            address: listener.local_addr().unwrap(),
            state: Arc::default(),
        };
        let app = Router::new().fallback(receive).with_state(inbox.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        inbox
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/services/s3cr3t", self.address)
    }

    pub(crate) fn plan_replies(&self, replies: impl IntoIterator<Item = Reply>) {
        self.state.lock().unwrap().replies.extend(replies);
    }

    /// The accepted notifications; a form as a JSON object.
    pub(crate) fn received(&self) -> Vec<Value> {
        self.state.lock().unwrap().received.clone()
    }

    /// The texts of all accepted notifications.
    pub(crate) fn texts(&self) -> String {
        let received = self.received();
        let texts = received
            .iter()
            .filter_map(|message| message["text"].as_str());
        texts.collect::<Vec<_>>().join("\n")
    }

    pub(crate) fn requests(&self) -> usize {
        self.state.lock().unwrap().requests
    }

    pub(crate) async fn until(&self, received: usize) {
        self.wait("received", || self.received().len() >= received)
            .await;
    }

    pub(crate) async fn until_requests(&self, times: usize) {
        self.wait("requests", || self.requests() >= times).await;
    }

    /// Waits for a text, and advances the model's time meanwhile so that its instances change state.
    pub(crate) async fn until_text(&self, text: &str, ec2: &Model) {
        self.wait(text, || {
            ec2.advance(1.second());
            self.texts().contains(text)
        })
        .await;
    }

    async fn wait(&self, what: &str, condition: impl Fn() -> bool) {
        let limit = Duration::from_mins(1);
        let wait = async {
            while !condition() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let waited = tokio::time::timeout(limit, wait).await;
        assert!(waited.is_ok(), "not within {limit:?}: {what}: {self:?}");
    }
}

async fn receive(State(inbox): State<Inbox>, headers: HeaderMap, body: Bytes) -> Response {
    let reply = {
        let mut state = inbox.state.lock().unwrap();
        state.requests += 1;
        state.replies.pop_front()
    };
    match reply {
        None => {}
        Some(Reply::Status(status)) => {
            return StatusCode::from_u16(status).unwrap().into_response();
        }
        Some(Reply::RetryAfter(seconds)) => {
            let wait = [("retry-after", seconds.to_string())];
            return (StatusCode::TOO_MANY_REQUESTS, wait).into_response();
        }
        Some(Reply::Hang) => std::future::pending().await,
        Some(Reply::Cut) => panic!("the connection ends without an answer"),
    }
    let kind = headers["content-type"].to_str().unwrap();
    if kind.starts_with("application/json") {
        let message = serde_json::from_slice(&body).unwrap();
        inbox.state.lock().unwrap().received.push(message);
        return "ok".into_response();
    }
    let form = form_urlencoded::parse(&body);
    let message = form.map(|(key, value)| (key.into_owned(), Value::from(value.into_owned())));
    let message = Value::Object(message.collect());
    inbox.state.lock().unwrap().received.push(message);
    let answer = r#"<PublishResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/">
        <PublishResult><MessageId>94f20ce6-13c5-43a0-9a9e-ca52d816e90b</MessageId></PublishResult>
        <ResponseMetadata><RequestId>f187a3c1-376f-11df-8963-01868b7c937a</RequestId></ResponseMetadata>
    </PublishResponse>"#;
    ([("content-type", "text/xml")], answer).into_response()
}
