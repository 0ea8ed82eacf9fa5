//! SSM's parameter store, as far as a function needs it: `GetParameter` over AWS's JSON protocol.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::{Json, Router};
use curfew_aws::document::Stored;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// Parameters, and how often they were read.
#[derive(Clone, Debug, Default)]
pub(crate) struct ParameterStore(Arc<Mutex<Shelf>>);

#[derive(Debug, Default)]
struct Shelf {
    values: BTreeMap<String, String>,
    reads: usize,
    /// What is there from a read on: somebody writes while somebody reads.
    then: Option<(usize, BTreeMap<String, String>)>,
}

impl ParameterStore {
    pub(crate) const NAME: &str = "/curfew/configuration";

    /// Puts a value there, or takes it away.
    pub(crate) fn put(&self, value: Option<String>) {
        let values = value.map(|value| (Self::NAME.to_owned(), value));
        self.shelf().values = values.into_iter().collect();
    }

    /// Puts a document there, in as many parts as it needs; says how many.
    pub(crate) fn put_document(&self, document: &str) -> usize {
        let values = in_parameters(document);
        let parts = values.len() - 1;
        self.shelf().values = values;
        parts
    }

    /// Loses one.
    pub(crate) fn take_last_part(&self) {
        self.shelf().values.pop_last();
    }

    /// Replaces everything by this document once it has been read so many more times.
    pub(crate) fn replace_after(&self, reads: usize, document: &str) {
        let at = self.reads() + reads;
        self.shelf().then = Some((at, in_parameters(document)));
    }

    /// How many times it was asked for.
    pub(crate) fn reads(&self) -> usize {
        self.shelf().reads
    }

    /// Serves it on loopback, until the test's runtime ends.
    pub(crate) async fn serve(&self) -> String {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let app = Router::new()
            .fallback(get_parameter)
            .with_state(self.clone());
        tokio::spawn(axum::serve(listener, app).into_future());
        endpoint
    }

    fn shelf(&self) -> std::sync::MutexGuard<'_, Shelf> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn in_parameters(document: &str) -> BTreeMap<String, String> {
    let stored = Stored::new(document).unwrap();
    let parts = stored.parts.into_iter();
    let mut values: BTreeMap<_, _> = parts
        .map(|(suffix, value)| (format!("{}/{suffix}", ParameterStore::NAME), value))
        .collect();
    values.insert(ParameterStore::NAME.to_owned(), stored.value);
    values
}

async fn get_parameter(
    State(store): State<ParameterStore>,
    headers: HeaderMap,
    question: String,
) -> Response {
    // The content type is `application/x-amz-json-1.1`, which nobody but AWS takes for JSON.
    let question: Value = serde_json::from_str(&question).unwrap();
    let mut shelf = store.shelf();
    let reads = shelf.reads;
    if let Some((_, newer)) = shelf.then.take_if(|(at, _)| *at == reads) {
        shelf.values = newer;
    }
    shelf.reads += 1;
    let asked = headers
        .get("x-amz-target")
        .and_then(|target| target.to_str().ok());
    assert_eq!(asked, Some("AmazonSSM.GetParameter"));
    let name = question["Name"].as_str().unwrap();
    match shelf.values.get(name) {
        Some(value) => Json(json!({
            "Parameter": {"Name": name, "Type": "String", "Value": value, "Version": 1},
        }))
        .into_response(),
        None => (
            StatusCode::BAD_REQUEST,
            Json(json!({"__type": "ParameterNotFound", "message": ""})),
        )
            .into_response(),
    }
}
