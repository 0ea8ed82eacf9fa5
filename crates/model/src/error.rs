//! What a service answers instead of a result: a code, a sentence and an HTTP status.

use std::borrow::Cow;

/// An error answer of the service.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct ApiError {
    /// EC2's error code, such as `IncorrectInstanceState`.
    pub code: Cow<'static, str>,
    /// The sentence that goes with it.
    pub message: String,
    /// The HTTP status: 4xx is the caller's fault, 5xx is EC2's (and capacity and throttling count as EC2's).
    pub status: u16,
}

impl ApiError {
    /// An error of any code, with the status that EC2 sends for a fault of the caller (400).
    pub fn client(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self::with_status(400, code, message)
    }

    /// An error of any code and status.
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
