//! A model of SSM's parameter store: `GetParameter` over AWS's JSON protocol.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::{Json, Router};
use curfew_aws::configuration_document::StoredDocument;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// The parameters, and the number of reads.
#[derive(Clone, Debug, Default)]
pub(crate) struct ParameterStore(Arc<Mutex<StoreState>>);

#[derive(Debug, Default)]
struct StoreState {
    values: BTreeMap<String, String>,
    reads: usize,
    /// The values from a given read on, to simulate a concurrent write.
    replacement: Option<(usize, BTreeMap<String, String>)>,
}

impl ParameterStore {
    pub(crate) const NAME: &str = "/curfew/configuration";

    /// Sets or removes the parameter.
    pub(crate) fn put(&self, value: Option<String>) {
        let values = value.map(|value| (Self::NAME.to_owned(), value));
        self.state().values = values.into_iter().collect();
    }

    /// Stores a document, in parts if necessary. Returns the number of parts.
    pub(crate) fn put_document(&self, document: &str) -> usize {
        let values = in_parameters(document);
        let parts = values.len() - 1;
        self.state().values = values;
        parts
    }

    /// Removes the last part.
    pub(crate) fn take_last_part(&self) {
        self.state().values.pop_last();
    }

    /// Replaces the contents by this document after the given number of further reads.
    pub(crate) fn replace_after(&self, reads: usize, document: &str) {
        let at = self.reads() + reads;
        self.state().replacement = Some((at, in_parameters(document)));
    }

    /// The number of reads.
    pub(crate) fn reads(&self) -> usize {
        self.state().reads
    }

    /// Serves the store on loopback until the test's runtime ends. Returns the endpoint.
    pub(crate) async fn serve(&self) -> String {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let app = Router::new()
            .fallback(get_parameter)
            .with_state(self.clone());
        tokio::spawn(axum::serve(listener, app).into_future());
        endpoint
    }

    fn state(&self) -> std::sync::MutexGuard<'_, StoreState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn in_parameters(document: &str) -> BTreeMap<String, String> {
    let stored = StoredDocument::new(document).unwrap();
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
    request: String,
) -> Response {
    // The content type is `application/x-amz-json-1.1`, which axum's `Json` does not accept.
    let request: Value = serde_json::from_str(&request).unwrap();
    let mut state = store.state();
    let reads = state.reads;
    if let Some((_, newer)) = state.replacement.take_if(|(at, _)| *at == reads) {
        state.values = newer;
    }
    state.reads += 1;
    let target = headers
        .get("x-amz-target")
        .and_then(|target| target.to_str().ok());
    assert_eq!(target, Some("AmazonSSM.GetParameter"));
    let name = request["Name"].as_str().unwrap();
    match state.values.get(name) {
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
