//! Errors of calls to AWS, classified by what a user can do about them.

use std::error::Error as StdError;

use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::display::DisplayErrorContext;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use curfew_core::error_code::{DescribedError, ErrorCode};

use crate::rate_limit::Limit;

/// The prefix of the message for calls that were skipped because an equal call had failed.
const INFERRED: &str = "an equal call failed";

/// A call to AWS that failed.
#[derive(Debug, thiserror::Error)]
#[error("`{operation}` {}: {message}", self.kind.verb())]
pub struct CloudError {
    /// The operation with its service, such as `ec2:StopInstances`.
    pub operation: &'static str,
    /// The class of the failure.
    pub kind: CloudErrorKind,
    /// AWS's error code, such as `UnauthorizedOperation`, if AWS responded.
    pub code: Option<String>,
    /// AWS's message, or the transport's.
    pub message: String,
    /// The SDK's error.
    #[source]
    pub source: Option<Box<dyn StdError + Send + Sync>>,
}

/// The classes of failure, each with its own handling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CloudErrorKind {
    /// No response: wrong endpoint, no network, a timeout, a truncated response.
    Unreachable,
    /// The call was not sent: the pass ended first.
    NotSent,
    /// There are no credentials, or AWS does not know them.
    Credentials,
    /// The credentials have expired.
    Expired,
    /// The credentials are valid but not permitted to do this.
    Denied,
    /// AWS throttled the call.
    Throttled,
    /// The object does not exist.
    NotFound,
    /// AWS has no capacity for this instance type in this zone at the moment.
    Capacity,
    /// The object is in a state that forbids the call.
    WrongState,
    /// The account is blocked or not verified yet, or has no subscription to the product.
    Account,
    /// A quota of the account is exceeded.
    Quota,
    /// AWS failed internally.
    Service,
    /// Any other refusal of the request.
    Refused,
}

/// EC2's codes for a lack of capacity: its own, on a Dedicated Host, in a reservation, or at the offered Spot price.
pub(crate) const CAPACITY_CODES: [&str; 12] = [
    "InsufficientInstanceCapacity",
    "InsufficientHostCapacity",
    "InsufficientReservedInstanceCapacity",
    "InsufficientReservedInstancesCapacity",
    "InsufficientVolumeCapacity",
    "InsufficientCapacity",
    "InsufficientCapacityOnHost",
    "IncompatibleHostRequirements",
    "UnavailableHostRequirements",
    "ReservationCapacityExceeded",
    "UnfulfillableCapacity",
    "SpotMaxPriceTooLow",
];

impl CloudErrorKind {
    fn verb(self) -> &'static str {
        match self {
            Self::Unreachable => "got no answer",
            Self::NotSent => "was not sent",
            Self::Credentials => "has no usable credentials",
            Self::Expired => "found its credentials expired",
            Self::Denied => "was denied",
            Self::Throttled => "was throttled",
            Self::NotFound => "found nothing",
            Self::Capacity => "found no capacity",
            Self::WrongState => "does not fit the present state",
            Self::Account => "is not open to this account",
            Self::Quota => "exceeds a quota of the account",
            Self::Service => "failed inside AWS",
            Self::Refused => "was refused",
        }
    }

    /// Classifies AWS's error codes, all those that the page below documents for starting, stopping and tagging instances.
    ///
    /// <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html>
    fn of_code(code: &str, status: Option<u16>, message: &str) -> Self {
        match code {
            "RequestLimitExceeded"
            | "Throttling"
            | "ThrottlingException"
            | "TooManyRequestsException"
            | "SlowDown"
            | "RetryableError"
            | "ConcurrentTagAccess" => Self::Throttled,
            "RequestExpired" | "ExpiredToken" | "ExpiredTokenException" => Self::Expired,
            // EC2 also returns this code where known credentials may not use a resource, such as the instance's image.
            "AuthFailure" if !message.contains("credentials") && !message.is_empty() => {
                Self::Denied
            }
            "AuthFailure"
            | "InvalidClientTokenId"
            | "UnrecognizedClientException"
            | "SignatureDoesNotMatch"
            | "MissingAuthenticationToken"
            | "InvalidAccessKeyId"
            | "IncompleteSignature" => Self::Credentials,
            "UnauthorizedOperation" | "AccessDenied" | "AccessDeniedException" => Self::Denied,
            "OptInRequired" | "PendingVerification" | "Blocked" | "AccountDisabled" => {
                Self::Account
            }
            "InstanceLimitExceeded"
            | "VcpuLimitExceeded"
            | "MaxSpotInstanceCountExceeded"
            | "MaxScheduledInstanceCapacityExceeded"
            | "HostLimitExceeded"
            | "VolumeLimitExceeded"
            | "MaxIOPSLimitExceeded"
            | "ResourceLimitExceeded" => Self::Quota,
            code if CAPACITY_CODES.contains(&code) => Self::Capacity,
            "IncorrectInstanceState"
            | "IncorrectState"
            | "IncorrectStateException"
            | "IncorrectSpotRequestState"
            | "IncorrectModificationState"
            | "InvalidState"
            | "InvalidHostState"
            | "InvalidCapacityReservationState"
            | "InvalidCapacityReservationState.PendingActivation"
            | "ScheduledInstanceSlotNotOpen"
            | "BundlingInProgress"
            | "CreditSpecificationUpdateInProgress"
            | "VolumeInUse" => Self::WrongState,
            "ResourceNotFoundException" | "ParameterNotFound" | "NoSuchBucket" | "NoSuchKey" => {
                Self::NotFound
            }
            _ if code.ends_with(".NotFound") || code.ends_with(".Malformed") => Self::NotFound,
            _ if status.is_some_and(|status| status == 429) => Self::Throttled,
            _ if status.is_some_and(|status| status >= 500) => Self::Service,
            _ => Self::Refused,
        }
    }
}

impl From<CloudErrorKind> for ErrorCode {
    fn from(kind: CloudErrorKind) -> Self {
        match kind {
            CloudErrorKind::Unreachable => Self::Unreachable,
            CloudErrorKind::NotSent => Self::OutOfTime,
            CloudErrorKind::Credentials | CloudErrorKind::Expired => Self::NoCredentials,
            CloudErrorKind::Denied | CloudErrorKind::Account => Self::Denied,
            CloudErrorKind::Throttled => Self::Throttled,
            CloudErrorKind::NotFound => Self::NotFound,
            CloudErrorKind::Capacity => Self::NoCapacity,
            CloudErrorKind::WrongState => Self::WrongState,
            CloudErrorKind::Service => Self::UpstreamError,
            CloudErrorKind::Quota | CloudErrorKind::Refused => Self::Refused,
        }
    }
}

impl CloudError {
    /// Describes the error with its code and hint.
    pub fn described(&self) -> DescribedError {
        DescribedError {
            code: self.kind.into(),
            message: self.to_string(),
            hint: Some(self.hint().to_owned()),
        }
    }

    /// Classifies the SDK's error for `operation`.
    pub fn from_sdk<E>(
        operation: &'static str,
        error: SdkError<E, aws_smithy_runtime_api::client::orchestrator::HttpResponse>,
    ) -> Self
    where
        E: StdError + ProvideErrorMetadata + Send + Sync + 'static,
    {
        let mut result = Self::from_sdk_ref(operation, &error);
        result.source = Some(Box::new(error));
        result
    }

    /// The same, for an error that the caller keeps.
    pub(crate) fn from_sdk_ref<E>(
        operation: &'static str,
        error: &SdkError<E, aws_smithy_runtime_api::client::orchestrator::HttpResponse>,
    ) -> Self
    where
        E: StdError + ProvideErrorMetadata + Send + Sync + 'static,
    {
        let status = error
            .raw_response()
            .map(|response| response.status().as_u16());
        let code = error.code().map(str::to_owned);
        let kind = match (error, &code) {
            (_, Some(code)) => {
                CloudErrorKind::of_code(code, status, error.message().unwrap_or_default())
            }
            (SdkError::ConstructionFailure(_), None) => CloudErrorKind::Refused,
            (SdkError::DispatchFailure(failure), None) if failure.is_other() => {
                CloudErrorKind::Credentials
            }
            (SdkError::ServiceError(_), None) => status.map_or(CloudErrorKind::Service, |status| {
                if status >= 500 {
                    CloudErrorKind::Service
                } else {
                    CloudErrorKind::Refused
                }
            }),
            (_, None) => CloudErrorKind::Unreachable,
        };
        let message = match error.message() {
            Some(message) if !message.is_empty() => message.trim_end_matches('.').to_owned(),
            // Some services, such as SSM, return codes without a message.
            Some(_) if code.is_some() => code.clone().unwrap_or_default(),
            _ => match innermost(error).to_string() {
                text if text.is_empty() => DisplayErrorContext(error).to_string(),
                text => text,
            },
        };
        Self {
            operation,
            kind,
            code,
            message,
            source: None,
        }
    }

    /// An error that Curfew detected in a response of AWS.
    pub fn new(operation: &'static str, kind: CloudErrorKind, message: impl Into<String>) -> Self {
        Self {
            operation,
            kind,
            code: None,
            message: message.into(),
            source: None,
        }
    }

    /// A copy without the source, for the other instances of a failed batch.
    #[must_use]
    pub fn repeated(&self) -> Self {
        let Self {
            operation,
            kind,
            code,
            message,
            source: _,
        } = self;
        Self {
            operation,
            kind: *kind,
            code: code.clone(),
            message: message.clone(),
            source: None,
        }
    }

    /// The same failure for an instance with a skipped call, because the failure applies to all.
    #[must_use]
    pub fn inferred(&self) -> Self {
        let repeated = self.repeated();
        let message = format!("{INFERRED}: {}", repeated.message);
        if self.is_inferred() {
            return repeated;
        }
        Self {
            message,
            ..repeated
        }
    }

    /// Whether the call was skipped for this instance.
    pub fn is_inferred(&self) -> bool {
        self.message.starts_with(INFERRED)
    }

    /// Whether AWS's code starts with `prefix`.
    pub(crate) fn code_starts_with(&self, prefix: &str) -> bool {
        let code = self.code.as_deref();
        code.is_some_and(|code| code.starts_with(prefix))
    }

    /// For a throttled call, the limit that was exceeded, from the message; `Requests` if the message doesn't say.
    pub fn limit(&self) -> Limit {
        if self.message.contains("resource") {
            Limit::Resources
        } else {
            Limit::Requests
        }
    }

    /// What a user can do about the error.
    pub fn hint(&self) -> &'static str {
        if let Some(hint) = self.code.as_deref().and_then(hint_for) {
            return hint;
        }
        match self.kind {
            CloudErrorKind::Unreachable => {
                "check the endpoint, the region's name and the network; Curfew tries again at the next pass"
            }
            CloudErrorKind::NotSent => "the next pass continues",
            // EC2's code for unknown keys, which it also returns for a region that the account has not enabled.
            CloudErrorKind::Credentials if self.code.as_deref() == Some("AuthFailure") => {
                "set AWS_PROFILE or other keys; if they work in other regions, enable this one for the account"
            }
            CloudErrorKind::Credentials => {
                "set AWS_PROFILE or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            }
            CloudErrorKind::Expired => "renew the credentials, for example with `aws sso login`",
            CloudErrorKind::Denied if self.code.as_deref() == Some("AuthFailure") => {
                "let the account use what the message names, such as an image that another account shared with it"
            }
            CloudErrorKind::Denied => {
                "grant this action to the role or user; docs/reference/iam.md lists what Curfew needs and why"
            }
            CloudErrorKind::Throttled => "wait a moment; Curfew continues at the next pass",
            CloudErrorKind::NotFound => "check the id, the region and the account",
            CloudErrorKind::Capacity => {
                "AWS has no capacity at the moment; Curfew retries at each pass"
            }
            CloudErrorKind::WrongState => "wait until it has settled; Curfew tries again later",
            CloudErrorKind::Service => {
                "try again later; the AWS Health Dashboard lists known incidents"
            }
            CloudErrorKind::Account => "ask AWS Support what the account still needs",
            CloudErrorKind::Quota => {
                "ask for a higher quota in Service Quotas, or stop other instances; Curfew tries again later"
            }
            CloudErrorKind::Refused => "the message names what AWS did not accept",
        }
    }

    /// Whether a later pass may succeed without any change of configuration or permissions.
    pub fn is_transient(&self) -> bool {
        matches!(
            self.kind,
            CloudErrorKind::Unreachable
                | CloudErrorKind::NotSent
                | CloudErrorKind::Throttled
                | CloudErrorKind::Capacity
                | CloudErrorKind::WrongState
                | CloudErrorKind::Quota
                | CloudErrorKind::Service
        )
    }
}

/// What a user can do about an error of this code, where the code is more specific than its class.
fn hint_for(code: &str) -> Option<&'static str> {
    Some(match code {
        "OptInRequired" => {
            "subscribe the account to the product and accept its terms in AWS Marketplace (the message may hold the address); a new \
             account may have to wait for its activation"
        }
        "PendingVerification" => {
            "wait until AWS has verified the account, and ask AWS Support if that takes longer than a day"
        }
        "Blocked" | "AccountDisabled" => "ask AWS Support: it alone can open the account again",
        "IncorrectSpotRequestState" => {
            "an instance that AWS interrupted is started again by AWS alone, when there is Spot capacity; otherwise check the \
             status of its Spot request"
        }
        "SpotMaxPriceTooLow" => {
            "raise the highest price of its Spot request, or wait until the Spot price falls"
        }
        "CustomerKeyHasBeenRevoked" => "enable the KMS key of its volumes again, or grant its use",
        "TagLimitExceeded" => "remove a tag from it: Curfew needs a few of the 50 for its state",
        "TagPolicyViolation" => {
            "allow tags with keys that begin with `curfew:` in the organization's tag policy"
        }
        _ => return None,
    })
}

/// AWS's message without account ids and without the encoded authorization message.
pub fn presentable(message: &str) -> String {
    let message = message
        .split(" Encoded authorization failure message")
        .next()
        .unwrap_or_default();
    let mut clean = String::with_capacity(message.len());
    // An account id is delimited on both sides; an instance's id may contain twelve digits.
    for word in message.split_inclusive(|c: char| !c.is_ascii_alphanumeric()) {
        let digits = word.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
        let rest = &word[digits.len()..];
        let is_account = digits.len() == 12 && digits.bytes().all(|byte| byte.is_ascii_digit());
        clean.push_str(if is_account { "…" } else { digits });
        clean.extend(rest.chars().map(|c| if c.is_control() { ' ' } else { c }));
    }
    clean
}

/// Returns the sources of `error`, from its direct source to the innermost one.
pub fn sources<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(error.source(), |&source| source.source())
}

/// Returns the innermost source of `error`; the error itself if it has no source.
pub(crate) fn innermost<'a>(error: &'a (dyn StdError + 'static)) -> &'a (dyn StdError + 'static) {
    sources(error).last().unwrap_or(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn account_ids_and_encoded_messages_are_removed() {
        let message = presentable(
            "You are not authorized: User: arn:aws:sts::123456789012:assumed-role/r/s may not ec2:StopInstances on \
             arn:aws:ec2:eu-west-3:123456789012:instance/i-123456789012abcde.\n Encoded authorization failure message: xyz",
        );
        assert_eq!(
            message,
            "You are not authorized: User: arn:aws:sts::…:assumed-role/r/s may not ec2:StopInstances on \
             arn:aws:ec2:eu-west-3:…:instance/i-123456789012abcde. "
        );
    }

    #[test]
    fn error_codes_are_classified() {
        use CloudErrorKind as Kind;
        for (code, status, kind) in [
            ("RequestLimitExceeded", Some(503), Kind::Throttled),
            ("InvalidInstanceID.NotFound", Some(400), Kind::NotFound),
            ("InvalidInstanceID.Malformed", Some(400), Kind::NotFound),
            ("UnauthorizedOperation", Some(403), Kind::Denied),
            ("ExpiredToken", Some(400), Kind::Expired),
            ("InsufficientInstanceCapacity", Some(500), Kind::Capacity),
            ("IncorrectInstanceState", Some(400), Kind::WrongState),
            ("InternalError", Some(500), Kind::Service),
            ("InvalidParameterValue", Some(400), Kind::Refused),
            ("OptInRequired", Some(401), Kind::Account),
            ("PendingVerification", Some(400), Kind::Account),
            ("Blocked", Some(401), Kind::Account),
            ("VcpuLimitExceeded", Some(400), Kind::Quota),
            ("MaxSpotInstanceCountExceeded", Some(400), Kind::Quota),
            ("InsufficientCapacityOnHost", Some(400), Kind::Capacity),
            ("ReservationCapacityExceeded", Some(400), Kind::Capacity),
            ("IncorrectSpotRequestState", Some(400), Kind::WrongState),
            (
                "InvalidCapacityReservationState.PendingActivation",
                Some(400),
                Kind::WrongState,
            ),
            (
                "UnsupportedHibernationConfiguration",
                Some(400),
                Kind::Refused,
            ),
            ("OperationNotPermitted", Some(400), Kind::Refused),
            ("InvalidVolume.NotFound", Some(400), Kind::NotFound),
            ("ConcurrentTagAccess", Some(400), Kind::Throttled),
            ("Unavailable", Some(503), Kind::Service),
        ] {
            assert_eq!(Kind::of_code(code, status, ""), kind, "{code}");
        }
    }

    #[test]
    fn denied_use_of_a_resource_is_not_a_credentials_error() {
        let kind = |message| CloudErrorKind::of_code("AuthFailure", Some(401), message);
        let unknown = "AWS was not able to validate the provided access credentials";
        assert_eq!(kind(unknown), CloudErrorKind::Credentials);
        let image = "Not authorized for images: [ami-0c0ffee0c0ffee000]";
        assert_eq!(kind(image), CloudErrorKind::Denied);
    }

    #[test]
    fn a_hint_says_what_a_user_can_do() {
        let hint = |code: &str| {
            let kind = CloudErrorKind::of_code(code, Some(400), "");
            let mut error = CloudError::new("ec2:StartInstances", kind, "no");
            error.code = Some(code.to_owned());
            error.hint()
        };
        assert!(hint("OptInRequired").contains("AWS Marketplace"));
        assert!(hint("IncorrectSpotRequestState").contains("Spot request"));
        assert!(hint("VcpuLimitExceeded").contains("Service Quotas"));
        assert!(hint("UnauthorizedOperation").contains("docs/reference/iam.md"));
        for code in ["OptInRequired", "Blocked", "PendingVerification"] {
            assert!(!hint(code).contains("grant this action"), "{code}");
        }
    }
}
