//! The API's errors: an HTTP status, a stable code, a one-sentence message and a hint.

use std::fmt;

use curfew_core::error_code::ErrorCode;
use curfew_core::schedule::known_schedules;
use curfew_core::select::{InstanceChoice, SelectError};
use serde::Serialize;

/// Reports a request that was not carried out, or only in part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ApiError {
    /// The error code, for scripts.
    pub code: ErrorCode,
    /// The error in one sentence that names the object.
    pub message: String,
    /// How to resolve the error.
    pub hint: String,
    /// The instances to choose from, if the request named none, or a name that several have.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<InstanceChoice>,
}

/// What HTTP needs to know about an error code.
pub(crate) trait HttpErrorCode {
    /// The HTTP status.
    fn status(self) -> u16;

    /// After how many seconds a retry makes sense; `None` for permanent errors. EC2's token buckets refill within seconds; capacity
    /// and configuration may recover by the next pass.
    fn retry_after(self) -> Option<u32>;
}

impl HttpErrorCode for ErrorCode {
    fn status(self) -> u16 {
        match self {
            Self::BadBody
            | Self::BadParameter
            | Self::BadTime
            | Self::TargetRequired
            | Self::AmbiguousName
            | Self::TooMany => 400,
            Self::Unauthorized => 401,
            Self::Forbidden | Self::Denied => 403,
            Self::UnknownPath
            | Self::UnknownInstance
            | Self::UnknownSchedule
            | Self::NothingMatched
            | Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::NotManaged | Self::Protected | Self::WrongState | Self::Refused => 409,
            Self::Throttled => 429,
            // The last four are errors of commands only.
            Self::Internal
            | Self::ConfirmationRequired
            | Self::NotDeployed
            | Self::NoJournal
            | Self::Failed => 500,
            Self::NoCapacity
            | Self::Unreachable
            | Self::UpstreamError
            | Self::NoCredentials
            | Self::InvalidConfiguration
            | Self::OutOfTime => 503,
        }
    }

    fn retry_after(self) -> Option<u32> {
        match self.status() {
            429 => Some(5),
            503 => Some(30),
            _ => None,
        }
    }
}

impl ApiError {
    /// Creates an error without choices. Neither text ends in a full stop.
    pub fn new(code: ErrorCode, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            hint: hint.into(),
            choices: Vec::new(),
        }
    }

    /// Combines the errors of several account-regions into one with up to eight of them in its message; `None` for none.
    /// Its code is the common one, or else `unreachable`.
    pub(crate) fn combine<'a>(several: impl IntoIterator<Item = &'a Self>) -> Option<Self> {
        /// Limits the length of the message.
        const MAX_NAMED: usize = 8;
        let several: Vec<&Self> = several.into_iter().collect();
        let (first, others) = several.split_first()?;
        if others.is_empty() {
            return Some((*first).clone());
        }
        let code = if others.iter().all(|one| one.code == first.code) {
            first.code
        } else {
            ErrorCode::Unreachable
        };
        let named = several.iter().take(MAX_NAMED);
        let mut messages: Vec<String> = named.map(|one| one.message.clone()).collect();
        if several.len() > MAX_NAMED {
            messages.push(format!("and {} more", several.len() - MAX_NAMED));
        }
        Some(Self::new(code, messages.join("; "), first.hint.clone()))
    }

    /// Creates an error for a time or a length of time.
    pub(crate) fn bad_time(message: impl Into<String>, allowed: impl Into<String>) -> Self {
        Self::new(ErrorCode::BadTime, message, allowed)
    }

    /// Prefixes the message with what is unknown because of this error.
    pub(crate) fn with_context(mut self, what: &str) -> Self {
        self.message = format!("{what}: {}", self.message);
        self
    }

    /// Creates an error for an unknown or invalid parameter.
    pub(crate) fn bad_parameter(message: impl Into<String>, allowed: impl Into<String>) -> Self {
        Self::new(ErrorCode::BadParameter, message, allowed)
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.message, self.hint)
    }
}

impl std::error::Error for ApiError {}

impl From<SelectError> for ApiError {
    fn from(error: SelectError) -> Self {
        const STATUS: &str =
            "`/status?all=true` lists every instance with the reason why it is skipped";
        let hint = match &error {
            SelectError::TargetRequired { .. } => {
                "name one with `instance=NAME` or `instance=ID`, several with `schedule=NAME` or `tag=Key:Value`, or use `all=true`".to_owned()
            }
            SelectError::NothingManaged => {
                format!("add the schedule tag to an instance; {STATUS}")
            }
            SelectError::TooMany { .. } => "add `all=true` to change all of them".to_owned(),
            SelectError::UnknownInstance { .. } | SelectError::UnknownName { .. } => {
                "nothing was changed; check the id or the name, the region and the account".to_owned()
            }
            SelectError::AmbiguousName { .. } => {
                "nothing was changed; name the one that is meant by its id".to_owned()
            }
            SelectError::UnknownSchedule { known, .. } => known_schedules(known),
            SelectError::NotManaged { .. } => {
                "nothing was changed; Curfew changes only instances that a schedule manages".to_owned()
            }
            SelectError::Protected { .. } => {
                "nothing was changed; remove it from the request, or resolve the reason".to_owned()
            }
            SelectError::NothingMatched
            | SelectError::LeftAlone { .. }
            | SelectError::AllLeftAlone { .. } => STATUS.to_owned(),
        };
        let choices = error.choices().to_vec();
        Self {
            choices,
            ..Self::new(error.code(), error.to_string(), hint)
        }
    }
}

/// Quotes a caller's text for a message: at most 40 characters, with control characters escaped.
pub(crate) fn quoted(text: &str) -> String {
    const MAX_LENGTH: usize = 40;
    let more = if text.chars().nth(MAX_LENGTH).is_some() {
        "…"
    } else {
        ""
    };
    let short: String = text.chars().take(MAX_LENGTH).collect();
    format!("`{}{more}`", short.escape_debug())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_input_is_shortened_and_escaped() {
        assert_eq!(quoted("a\n\u{1b}[31m"), r"`a\n\u{1b}[31m`");
        assert_eq!(quoted(&"x".repeat(41)), format!("`{}…`", "x".repeat(40)));
    }

    #[test]
    fn the_reference_lists_every_code_with_its_status() {
        let page = include_str!("../../docs/reference/http-api.md");
        for code in ErrorCode::ALL {
            let name = serde_json::to_value(code).unwrap();
            let name = format!("`{}`", name.as_str().unwrap());
            let rows = page.lines().filter(|line| line.starts_with("| "));
            let mut rows = rows.filter(|row| row.contains(&name));
            let row = rows
                .find(|row| {
                    row.starts_with("| commands only |") || row.as_bytes()[2].is_ascii_digit()
                })
                .unwrap_or_else(|| panic!("{name} is not listed"));
            let is_listed = row.starts_with(&format!("| {} |", code.status()));
            assert!(is_listed || row.starts_with("| commands only |"), "{row}");
        }
    }

    #[test]
    fn only_temporary_errors_have_a_retry_delay() {
        assert_eq!(ErrorCode::Throttled.retry_after(), Some(5));
        assert_eq!(ErrorCode::NoCapacity.retry_after(), Some(30));
        assert_eq!(ErrorCode::Internal.retry_after(), None);
    }
}
