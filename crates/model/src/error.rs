//! The error responses of a service: a code, a message and an HTTP status.

use std::borrow::Cow;

/// An error response of a service.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct ModelError {
    /// The error code, such as `IncorrectInstanceState`.
    pub code: Cow<'static, str>,
    /// The message for the caller.
    pub message: String,
    /// The HTTP status: 4xx for errors of the caller, 5xx for errors of the service, which include capacity and
    /// throttling.
    pub status: u16,
}

impl ModelError {
    /// An error with the status of the caller's errors (400).
    pub fn client(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self::with_status(400, code, message)
    }

    /// An error with this status.
    pub fn with_status(
        status: u16,
        code: impl Into<Cow<'static, str>>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            code: code.into(),
            message: message.into(),
            status,
        }
    }
}
