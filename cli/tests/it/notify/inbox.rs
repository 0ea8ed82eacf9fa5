//! A web server that takes letters: the other side of a webhook, and, for forms, of SNS.

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

/// How a letter is taken; without more of these, it is taken well.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reply {
    Status(u16),
    /// 429, and so many seconds.
    Patience(u32),
    /// Nothing, for longer than anybody waits.
    Hang,
    /// The beginning of an answer.
    Cut,
}

#[derive(Clone, Debug)]
pub(crate) struct Inbox {
    address: std::net::SocketAddr,
    inside: Arc<Mutex<Inside>>,
}

#[derive(Debug, Default)]
struct Inside {
    replies: VecDeque<Reply>,
    letters: Vec<Value>,
    asked: usize,
}

impl Inbox {
    pub(crate) async fn open() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let inbox = Self {
            address: listener.local_addr().unwrap(),
            inside: Arc::default(),
        };
        let app = Router::new().fallback(take).with_state(inbox.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        inbox
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/services/s3cr3t", self.address)
    }

    pub(crate) fn will(&self, replies: impl IntoIterator<Item = Reply>) {
        self.inside.lock().unwrap().replies.extend(replies);
    }

    /// What was taken well: a document, or a form as one.
    pub(crate) fn letters(&self) -> Vec<Value> {
        self.inside.lock().unwrap().letters.clone()
    }

    /// All texts so far.
    pub(crate) fn told(&self) -> String {
        let letters = self.letters();
        let texts = letters.iter().filter_map(|letter| letter["text"].as_str());
        texts.collect::<Vec<_>>().join("\n")
    }

    pub(crate) fn asked(&self) -> usize {
        self.inside.lock().unwrap().asked
    }

    pub(crate) async fn until(&self, letters: usize) {
        self.wait("letters", || self.letters().len() >= letters)
            .await;
    }

    pub(crate) async fn until_asked(&self, times: usize) {
        self.wait("being asked", || self.asked() >= times).await;
    }

    /// Waits for a text while the model's time goes on: its instances take theirs.
    pub(crate) async fn until_told(&self, text: &str, ec2: &Model) {
        self.wait(text, || {
            ec2.advance(1.second());
            self.told().contains(text)
        })
        .await;
    }

    async fn wait(&self, what: &str, condition: impl Fn() -> bool) {
        let patience = Duration::from_mins(1);
        let wait = async {
            while !condition() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let waited = tokio::time::timeout(patience, wait).await;
        assert!(waited.is_ok(), "not within {patience:?}: {what}: {self:?}");
    }
}

async fn take(State(inbox): State<Inbox>, headers: HeaderMap, body: Bytes) -> Response {
    let reply = {
        let mut inside = inbox.inside.lock().unwrap();
        inside.asked += 1;
        inside.replies.pop_front()
    };
    match reply {
        None => {}
        Some(Reply::Status(status)) => {
            return StatusCode::from_u16(status).unwrap().into_response();
        }
        Some(Reply::Patience(seconds)) => {
            let wait = [("retry-after", seconds.to_string())];
            return (StatusCode::TOO_MANY_REQUESTS, wait).into_response();
        }
        Some(Reply::Hang) => std::future::pending().await,
        Some(Reply::Cut) => panic!("the connection ends without an answer"),
    }
    let kind = headers["content-type"].to_str().unwrap();
    if kind.starts_with("application/json") {
        let letter = serde_json::from_slice(&body).unwrap();
        inbox.inside.lock().unwrap().letters.push(letter);
        return "ok".into_response();
    }
    let form = form_urlencoded::parse(&body);
    let letter = form.map(|(key, value)| (key.into_owned(), Value::from(value.into_owned())));
    let letter = Value::Object(letter.collect());
    inbox.inside.lock().unwrap().letters.push(letter);
    let answer = r#"<PublishResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/">
        <PublishResult><MessageId>94f20ce6-13c5-43a0-9a9e-ca52d816e90b</MessageId></PublishResult>
        <ResponseMetadata><RequestId>f187a3c1-376f-11df-8963-01868b7c937a</RequestId></ResponseMetadata>
    </PublishResponse>"#;
    ([("content-type", "text/xml")], answer).into_response()
}
