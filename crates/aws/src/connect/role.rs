//! Credentials of a role in another account.

use std::time::SystemTime;

use aws_config::SdkConfig;
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, Result, future};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use curfew_core::account_regions::TargetAccount;

use crate::calls::ApiCalls;
use crate::minimal_client::{ActionClient, Protocol, ServiceAction, XmlDocument};

/// The session name in the account's CloudTrail.
const SESSION: &str = "curfew";

const ASSUME_ROLE: ServiceAction = ServiceAction {
    service: "STS",
    host: "sts",
    name: "AssumeRole",
    // The only version of STS's API.
    protocol: Protocol::Query {
        version: "2011-06-15",
    },
};

/// Assumes an account's role. The SDK caches the credentials.
///
/// `aws-config` can do the same, but includes all sources for the credentials with which to assume the role: profiles, web
/// identities, metadata services. A Lambda doesn't need them (docs/contribute/performance.md).
#[derive(Debug)]
pub(super) struct AssumedRole {
    assume: ActionClient<Credentials>,
    account: TargetAccount,
}

impl AssumedRole {
    /// A provider for the account's role, which it assumes with the credentials of `sdk`.
    pub(super) fn new(sdk: &SdkConfig, calls: &ApiCalls, account: TargetAccount) -> Self {
        Self {
            assume: ASSUME_ROLE.by(sdk, calls, read),
            account,
        }
    }

    async fn assume(&self) -> Result {
        let response = self.assume.invoke(self.parameters()).await;
        response.map_err(CredentialsError::provider_error)
    }

    fn parameters(&self) -> String {
        let mut parameters = form_urlencoded::Serializer::new(String::new());
        parameters
            .append_pair("RoleArn", self.account.role.as_str())
            .append_pair("RoleSessionName", SESSION);
        if let Some(id) = &self.account.external_id {
            parameters.append_pair("ExternalId", id);
        }
        parameters.finish()
    }
}

impl ProvideCredentials for AssumedRole {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.assume())
    }
}

fn read(body: &[u8]) -> std::result::Result<Credentials, BoxError> {
    let response = XmlDocument::read(body)?;
    let text = |name| {
        response
            .text(name)
            .ok_or("STS responded without credentials")
            .map(str::to_owned)
    };
    let expiry = DateTime::from_str(&text("Expiration")?, Format::DateTimeWithOffset)?;
    Ok(Credentials::new(
        text("AccessKeyId")?,
        text("SecretAccessKey")?,
        Some(text("SessionToken")?),
        Some(SystemTime::try_from(expiry)?),
        "assumed role",
    ))
}
