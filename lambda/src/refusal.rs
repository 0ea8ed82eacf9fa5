//! What a caller is told when something is not done: a status, a stable code, one sentence, and a hint.

use std::fmt;

use curfew_core::schedule::one_of;
use curfew_core::select::{InstanceChoice, SelectError};
use serde::Serialize;

/// A request that is not carried out, or not entirely.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Refusal {
    /// Why, for scripts.
    pub code: Code,
    /// Why, for people: one sentence that names the object.
    pub message: String,
    /// What to do about it.
    pub hint: String,
    /// The instances to choose from, where none was named.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<InstanceChoice>,
}

/// The codes of [`Refusal`], each with its HTTP status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// 400: the body can't be read.
    BadBody,
    /// 400: a parameter is unknown, or its value can't be used.
    BadParameter,
    /// 400: no target is named, and there are several instances to choose from.
    TargetNeeded,
    /// 400: more instances than one request may change without `all=true`.
    TooMany,
    /// 401: no credentials, or wrong ones.
    Unauthorized,
    /// 403: a browser sent this for another site, or ahead of the person's wish.
    Forbidden,
    /// 404: no such path.
    UnknownPath,
    /// 404: no such instance in this account and region.
    UnknownInstance,
    /// 404: no such schedule in the configuration.
    UnknownSchedule,
    /// 404: nothing fits the schedule or tags named, or nothing is managed at all.
    NothingMatched,
    /// 405: the path exists, and not for this method.
    MethodNotAllowed,
    /// 409: no schedule manages the instance.
    NotManaged,
    /// 409: Curfew never touches such an instance.
    NeverTouched,
    /// 409: the instance is between two states, or in one that forbids the call.
    WrongState,
    /// 409: EC2 does not accept the call.
    Refused,
    /// 403: Curfew's own role may not do this.
    Denied,
    /// 404: AWS does not know the object.
    NotFound,
    /// 429: AWS asks for patience.
    Throttled,
    /// 503: AWS has no room for this instance type in this zone.
    NoCapacity,
    /// 503: AWS did not answer, or not in time.
    Unreachable,
    /// 503: AWS failed on its side.
    CloudFailed,
    /// 503: Curfew's own credentials are missing, unknown or expired.
    NoCredentials,
    /// 503: there are no configuration to decide by.
    NoConfiguration,
    /// 503: time ran out before everything was done; the next pass goes on.
    OutOfTime,
    /// 500: a defect of Curfew.
    Internal,
}

impl Code {
    /// The HTTP status.
    pub fn status(self) -> u16 {
        match self {
            Self::BadBody | Self::BadParameter | Self::TargetNeeded | Self::TooMany => 400,
            Self::Unauthorized => 401,
            Self::Forbidden | Self::Denied => 403,
            Self::UnknownPath
            | Self::UnknownInstance
            | Self::UnknownSchedule
            | Self::NothingMatched
            | Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::NotManaged | Self::NeverTouched | Self::WrongState | Self::Refused => 409,
            Self::Throttled => 429,
            Self::Internal => 500,
            Self::NoCapacity
            | Self::Unreachable
            | Self::CloudFailed
            | Self::NoCredentials
            | Self::NoConfiguration
            | Self::OutOfTime => 503,
        }
    }

    /// After how many seconds trying again makes sense, where it does by itself: EC2's buckets refill within seconds, room
    /// and configuration come back within a pass.
    pub fn retry_after(self) -> Option<u32> {
        match self.status() {
            429 => Some(5),
            503 => Some(30),
            _ => None,
        }
    }
}

impl Refusal {
    /// A refusal without choices. Neither text ends in a full stop.
    pub fn new(code: Code, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            hint: hint.into(),
            choices: Vec::new(),
        }
    }

    /// One refusal for several of accounts and regions that did not answer, which names them all; none for none. Its code is theirs, if
    /// they have one in common.
    pub(crate) fn of_all(several: &[Self]) -> Option<Self> {
        /// More would not be read.
        const NAMED: usize = 8;
        let (first, others) = several.split_first()?;
        if others.is_empty() {
            return Some(first.clone());
        }
        let code = if others.iter().all(|one| one.code == first.code) {
            first.code
        } else {
            Code::Unreachable
        };
        let named = several.iter().take(NAMED);
        let mut messages: Vec<String> = named.map(|one| one.message.clone()).collect();
        if several.len() > NAMED {
            messages.push(format!("and {} more", several.len() - NAMED));
        }
        Some(Self::new(code, messages.join("; "), first.hint.clone()))
    }

    /// Says first what can't be told while those do not answer.
    pub(crate) fn about(mut self, what: &str) -> Self {
        self.message = format!("{what}: {}", self.message);
        self
    }

    /// A parameter that can't be used.
    pub(crate) fn parameter(message: impl Into<String>, allowed: impl Into<String>) -> Self {
        Self::new(Code::BadParameter, message, allowed)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.message, self.hint)
    }
}

impl std::error::Error for Refusal {}

impl From<SelectError> for Refusal {
    fn from(error: SelectError) -> Self {
        const STATUS: &str =
            "`/status?all=true` lists every instance and says why it is left alone";
        let (code, hint) = match &error {
            SelectError::TargetNeeded { .. } => (
                Code::TargetNeeded,
                "name one with `instance=ID`, several with `schedule=NAME` or `tag=Key:Value`, or say `all=true`".to_owned(),
            ),
            SelectError::NothingManaged => (
                Code::NothingMatched,
                format!("give an instance the managing tag; {STATUS}"),
            ),
            SelectError::TooMany { .. } => (
                Code::TooMany,
                "add `all=true` if all of them are meant".to_owned(),
            ),
            SelectError::UnknownInstance { .. } => (
                Code::UnknownInstance,
                "nothing was done; check the id, the region and the account".to_owned(),
            ),
            SelectError::UnknownSchedule { known, .. } => (Code::UnknownSchedule, one_of(known)),
            SelectError::NothingMatched => (Code::NothingMatched, STATUS.to_owned()),
            SelectError::NotManaged { .. } => (
                Code::NotManaged,
                "nothing was done; Curfew only changes instances that a schedule manages".to_owned(),
            ),
            SelectError::Protected { .. } => (
                Code::NeverTouched,
                "nothing was done; leave it out, or change what the reason names".to_owned(),
            ),
            SelectError::LeftAlone { .. } | SelectError::AllLeftAlone { .. } => {
                (Code::NeverTouched, STATUS.to_owned())
            }
        };
        let choices = error.choices().to_vec();
        Self {
            choices,
            ..Self::new(code, error.to_string(), hint)
        }
    }
}

/// Somebody's text as it may be repeated to them: short, and without control characters.
pub(crate) fn quoted(text: &str) -> String {
    const LONGEST: usize = 40;
    let more = if text.chars().nth(LONGEST).is_some() {
        "…"
    } else {
        ""
    };
    let short: String = text.chars().take(LONGEST).collect();
    format!("`{}{more}`", short.escape_debug())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_somebody_wrote_is_repeated_short_and_harmless() {
        assert_eq!(quoted("a\n\u{1b}[31m"), r"`a\n\u{1b}[31m`");
        assert_eq!(quoted(&"x".repeat(41)), format!("`{}…`", "x".repeat(40)));
    }

    #[test]
    fn only_what_passes_by_itself_is_worth_a_retry() {
        assert_eq!(Code::Throttled.retry_after(), Some(5));
        assert_eq!(Code::NoCapacity.retry_after(), Some(30));
        assert_eq!(Code::Internal.retry_after(), None);
    }
}
