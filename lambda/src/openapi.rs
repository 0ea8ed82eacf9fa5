//! The API as an OpenAPI 3.1 document, which is generated from the request and response types and committed, so that the function
//! serves it as text.

#[cfg(test)]
mod describe;

use crate::http::HttpResponse;

/// The committed document, `docs/openapi.json`. A test compares it with the types (`describe`).
pub const DOCUMENT: &str = include_str!("../../docs/openapi.json");

pub(crate) fn response() -> HttpResponse {
    HttpResponse::text(200, "application/json; charset=utf-8", DOCUMENT.to_owned())
}
