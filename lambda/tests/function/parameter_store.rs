//! SSM's parameter store, as far as a function needs it: `GetParameter` over AWS's JSON protocol.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// One parameter, and how often it was read.
#[derive(Clone, Debug, Default)]
pub(crate) struct ParameterStore(Arc<Mutex<Shelf>>);

#[derive(Debug, Default)]
struct Shelf {
    value: Option<String>,
    reads: usize,
}

impl ParameterStore {
    pub(crate) const NAME: &str = "/curfew/settings";

    /// Puts a value there, or takes it away.
    pub(crate) fn put(&self, value: Option<String>) {
        self.shelf().value = value;
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

async fn get_parameter(
    State(store): State<ParameterStore>,
    headers: HeaderMap,
    question: String,
) -> Response {
    // The content type is `application/x-amz-json-1.1`, which nobody but AWS takes for JSON.
    let question: Value = serde_json::from_str(&question).unwrap();
    let mut shelf = store.shelf();
    shelf.reads += 1;
    let asked = headers
        .get("x-amz-target")
        .and_then(|target| target.to_str().ok());
    assert_eq!(asked, Some("AmazonSSM.GetParameter"));
    let known = question["Name"] == ParameterStore::NAME;
    match shelf.value.as_ref().filter(|_| known) {
        Some(value) => Json(json!({
            "Parameter": {"Name": ParameterStore::NAME, "Type": "String", "Value": value, "Version": 1},
        }))
        .into_response(),
        None => (
            StatusCode::BAD_REQUEST,
            Json(json!({"__type": "ParameterNotFound", "message": ""})),
        )
            .into_response(),
    }
}
