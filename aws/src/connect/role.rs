//! Another account's role.

use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, Result, future};
use aws_sdk_sts::Client;
use curfew_core::membership::Account;

/// Who we are in an account's audit trail, after the role's name.
const SESSION: &str = "curfew";

/// Assumes an account's role for whoever asks for its credentials; keeping them is the SDK's business.
///
/// `aws-config` has the same, and with it all that it could assume the role *by*: profiles, web identities, metadata services. A
/// Lambda has no use for that (docs/performance.md).
#[derive(Debug)]
pub(super) struct AssumedRole {
    pub(super) client: Client,
    pub(super) account: Account,
}

impl ProvideCredentials for AssumedRole {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.assume())
    }
}

impl AssumedRole {
    async fn assume(&self) -> Result {
        let answer = self
            .client
            .assume_role()
            .role_arn(self.account.role.as_str())
            .role_session_name(SESSION)
            .set_external_id(self.account.external_id.clone())
            .send()
            .await
            .map_err(CredentialsError::provider_error)?;
        let given = answer
            .credentials
            .ok_or_else(|| CredentialsError::unhandled("STS answered without credentials"))?;
        let expiry = SystemTime::try_from(given.expiration).map_err(CredentialsError::unhandled)?;
        Ok(Credentials::new(
            given.access_key_id,
            given.secret_access_key,
            Some(given.session_token),
            Some(expiry),
            "assumed role",
        ))
    }
}
