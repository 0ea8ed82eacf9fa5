//! What there is to ask for, as an OpenAPI 3.1 document: made from the types that requests and answers have, and committed as text,
//! so that the function need only send it.

#[cfg(feature = "schema")]
mod describe;

#[cfg(feature = "schema")]
pub use describe::describe;

use crate::http::HttpResponse;

/// The document, as it was made: `docs/openapi.json`. A test compares it with what `describe` makes of the types today.
pub const DOCUMENT: &str = include_str!("../../docs/openapi.json");

pub(crate) fn response() -> HttpResponse {
    HttpResponse::text(200, "application/json; charset=utf-8", DOCUMENT.to_owned())
}
