//! The codes of errors, which scripts branch on. The HTTP API and the command line report the same failure with the same code.

use serde::Serialize;

/// An error as the commands, the HTTP API and the notifications report it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DescribedError {
    /// The kind of the error, as a stable code.
    pub code: ErrorCode,
    /// What failed, and why: one sentence.
    pub message: String,
    /// How to resolve it; null if there is no hint.
    pub hint: Option<String>,
}

/// The error codes. A list of all is in the reference of the HTTP API, each with its HTTP status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// The body of a request can't be parsed.
    BadBody,
    /// An option or a parameter is unknown, missing, or has an invalid value.
    BadParameter,
    /// A time or a length of time is not one, or is outside the allowed range.
    BadTime,
    /// The request names no target, and several instances are managed.
    TargetRequired,
    /// Several instances have the requested name.
    AmbiguousName,
    /// The request is for more instances than it may change without being confirmed, or has too many parameters.
    TooMany,
    /// The command needs a confirmation, and there is no terminal to ask.
    ConfirmationRequired,
    /// The credentials of an HTTP request are missing or wrong.
    Unauthorized,
    /// A browser sent this request for another site, or as a prefetch.
    Forbidden,
    /// Curfew's credentials lack a permission.
    Denied,
    /// The path does not exist.
    UnknownPath,
    /// The instance does not exist in the configured accounts and regions.
    UnknownInstance,
    /// The schedule is not in the configuration.
    UnknownSchedule,
    /// Nothing matches the selection, or nothing is managed.
    NothingMatched,
    /// AWS does not know the object.
    NotFound,
    /// There is no deployment of this name.
    NotDeployed,
    /// The machine has no journal.
    NoJournal,
    /// The path exists, but not for this method.
    MethodNotAllowed,
    /// No schedule manages the instance.
    NotManaged,
    /// The instance is protected from changes by Curfew.
    Protected,
    /// The instance is between two states, or in one that forbids the call.
    WrongState,
    /// AWS refused the call.
    Refused,
    /// AWS throttled the call.
    Throttled,
    /// AWS has no capacity for this instance type in this zone.
    NoCapacity,
    /// AWS did not answer, or not in time.
    Unreachable,
    /// AWS reported an internal error.
    UpstreamError,
    /// Curfew's credentials are missing, unknown or expired.
    NoCredentials,
    /// The configuration is missing or invalid.
    InvalidConfiguration,
    /// Time ran out before the work was finished; the next pass continues it.
    OutOfTime,
    /// An internal error of the function: a bug.
    Internal,
    /// Anything else that failed, such as a file that can't be written.
    Failed,
}

impl ErrorCode {
    /// Every code, in the order of the reference.
    pub const ALL: [Self; 31] = [
        Self::BadBody,
        Self::BadParameter,
        Self::BadTime,
        Self::TargetRequired,
        Self::AmbiguousName,
        Self::TooMany,
        Self::ConfirmationRequired,
        Self::Unauthorized,
        Self::Forbidden,
        Self::Denied,
        Self::UnknownPath,
        Self::UnknownInstance,
        Self::UnknownSchedule,
        Self::NothingMatched,
        Self::NotFound,
        Self::NotDeployed,
        Self::NoJournal,
        Self::MethodNotAllowed,
        Self::NotManaged,
        Self::Protected,
        Self::WrongState,
        Self::Refused,
        Self::Throttled,
        Self::NoCapacity,
        Self::Unreachable,
        Self::UpstreamError,
        Self::NoCredentials,
        Self::InvalidConfiguration,
        Self::OutOfTime,
        Self::Internal,
        Self::Failed,
    ];
}
