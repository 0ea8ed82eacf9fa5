//! Errors of one account-region, with its name and, if a role is at fault, the role's.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use curfew_core::account_regions::{AccountRegion, TargetAccount};
use curfew_core::error_code::ErrorCode;
use curfew_core::instance::{AccountId, Region};
use serde::Serialize;

use super::AccountRegionFleet;
use crate::error::{CloudError, CloudErrorKind, sources};
use crate::minimal_client::ServiceError;

/// A failed account-region.
#[derive(Debug)]
pub struct AccountRegionError {
    /// The account and region.
    pub account_region: AccountRegion,
    /// The cause of the failure.
    pub failure: AccountRegionFailure,
    /// The account; none for the connection's own.
    account: Option<Arc<TargetAccount>>,
    /// A prefix that names the account-region; empty if there is only one.
    place: String,
}

/// An account-region that did not answer, as responses and commands list it: the state of its instances is unknown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct UnansweredRegion<E> {
    /// The account; only if it is not the account of Curfew itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<AccountId>,
    /// The region that did not answer.
    pub region: Region,
    /// Why it did not answer.
    #[serde(flatten)]
    pub error: E,
}

impl<E> UnansweredRegion<E> {
    /// Lists the errors, each described for the interface at hand.
    pub fn all(
        errors: &[AccountRegionError],
        describe: impl Fn(&AccountRegionError) -> E,
    ) -> Vec<Self> {
        let unanswered = errors.iter().map(|error| Self {
            account: error.account_region.account.clone(),
            region: error.account_region.region.clone(),
            error: describe(error),
        });
        unanswered.collect()
    }
}

/// Why an account-region failed.
#[derive(Debug, thiserror::Error)]
pub enum AccountRegionFailure {
    /// A call failed.
    #[error(transparent)]
    Cloud(Box<CloudError>),
    /// The deadline passed before the work began.
    #[error("out of time")]
    OutOfTime,
    /// No response arrived before the deadline.
    #[error("no answer within {:.1} s", after.as_secs_f64())]
    NoAnswer {
        /// How long the response was awaited.
        after: Duration,
    },
}

impl AccountRegionError {
    pub(super) fn new(
        one: &AccountRegionFleet,
        failure: AccountRegionFailure,
        several: bool,
    ) -> Self {
        let account = one.account.as_ref();
        let place = match account.map(|account| (&account.id, &account.name)) {
            _ if !several => String::new(),
            None => format!("in `{}`: ", one.account_region.region),
            Some((id, None)) => format!("in `{}` of account `{id}`: ", one.account_region.region),
            Some((id, Some(name))) => {
                format!(
                    "in `{}` of account `{id}` ({name}): ",
                    one.account_region.region
                )
            }
        };
        Self {
            account_region: one.account_region.clone(),
            account: one.account.clone(),
            failure,
            place,
        }
    }

    /// The kind of the error.
    pub fn code(&self) -> ErrorCode {
        match &self.failure {
            AccountRegionFailure::Cloud(error) => error.kind.into(),
            AccountRegionFailure::OutOfTime => ErrorCode::OutOfTime,
            AccountRegionFailure::NoAnswer { .. } => ErrorCode::Unreachable,
        }
    }

    /// What a user can do about the error.
    pub fn hint(&self) -> String {
        let error = match &self.failure {
            AccountRegionFailure::Cloud(error) => error,
            AccountRegionFailure::OutOfTime => return "the next pass continues".to_owned(),
            AccountRegionFailure::NoAnswer { .. } => {
                return "try again; if it persists, check the region's endpoint and the network"
                    .to_owned();
            }
        };
        let region = &self.account_region.region;
        let role = self.account.as_ref().map(|account| &account.role);
        match (role, error.kind) {
            (Some(role), CloudErrorKind::Denied) if error.operation == ASSUME_ROLE => format!(
                "the role `{role}` must exist, and trust this account with the external id of the configuration; `curfew \
                 member-role` prints a template for it"
            ),
            (Some(role), CloudErrorKind::Denied) => format!(
                "grant this action to the role `{role}`; docs/reference/iam.md lists what Curfew needs and why"
            ),
            // EC2's code for a region that is not enabled.
            (_, CloudErrorKind::Credentials)
                if error.code.as_deref() == Some("AuthFailure") && !self.place.is_empty() =>
            {
                format!("check that the region `{region}` is enabled in that account")
            }
            _ => error.hint().to_owned(),
        }
    }

    /// Whether a repetition may succeed without any change of configuration or permissions.
    pub fn is_transient(&self) -> bool {
        match &self.failure {
            AccountRegionFailure::Cloud(error) => error.is_transient(),
            AccountRegionFailure::OutOfTime | AccountRegionFailure::NoAnswer { .. } => true,
        }
    }
}

impl fmt::Display for AccountRegionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.place, self.failure)
    }
}

impl StdError for AccountRegionError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.failure.source()
    }
}

const ASSUME_ROLE: &str = "sts:AssumeRole";

impl From<CloudError> for AccountRegionFailure {
    /// If a role can't be assumed, the call fails for lack of credentials; the error of `sts:AssumeRole` is among its
    /// sources, and is returned instead.
    fn from(error: CloudError) -> Self {
        let assuming = sources(&error)
            .filter(|_| error.kind == CloudErrorKind::Credentials)
            .find_map(|source| source.downcast_ref::<SdkError<ServiceError, HttpResponse>>())
            .map(|assuming| CloudError::from_sdk_ref(ASSUME_ROLE, assuming));
        Self::Cloud(Box::new(assuming.unwrap_or(error)))
    }
}
