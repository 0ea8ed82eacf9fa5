//! How to reach AWS, LocalStack or the embedded emulator: one place for endpoint, region, credentials, TLS and time-outs.

use std::time::Duration;

use aws_config::identity::IdentityCache;
use aws_config::sts::AssumeRoleProvider;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use curfew_core::membership::Account;

/// Where to connect. Everything left out comes from the environment and the shared AWS files, as for every AWS tool.
#[derive(Clone, Debug, Default)]
pub struct ConnectOptions {
    /// Instead of AWS's own endpoints: `http://127.0.0.1:4566`.
    pub endpoint: Option<String>,
    /// For example `eu-west-3`.
    pub region: Option<String>,
    /// A profile of the shared AWS files.
    pub profile: Option<String>,
}

/// A way to AWS, from which the service clients are made.
#[derive(Clone, Debug)]
pub struct Connection {
    /// The SDK's settings.
    pub sdk: SdkConfig,
    endpoint: Option<String>,
}

/// A connection that can't be described.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Neither the options nor the environment nor the profile name a region.
    #[error("no AWS region is set; use --region, AWS_REGION or the profile's `region`")]
    NoRegion,
    /// `AWS_CA_BUNDLE` names a file that can't be read.
    #[error("the certificates in `{path}` (AWS_CA_BUNDLE) can't be read")]
    CaBundle {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
}

impl Connection {
    /// An emulator is close: a call that takes longer than this has hung. AWS answers within a second or two; a page of
    /// a thousand instances may take four.
    const CALL_TIMEOUT: Duration = Duration::from_secs(15);
    const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
    /// The first try and two more, with the SDK's jittered backoff; a pass that still fails is followed by another pass.
    const ATTEMPTS: u32 = 3;
    /// Who we are in an account's audit trail, after the role's name.
    const SESSION: &str = "curfew";
    /// A role's credentials are renewed this long before they run out: longer than a call and its retries may take, so that none
    /// is under way when they do.
    const RENEWAL: Duration = Duration::from_mins(2);

    /// Reads the environment, the shared AWS files and, where set, `AWS_CA_BUNDLE`. Makes no call.
    pub async fn open(options: ConnectOptions) -> Result<Self, ConnectError> {
        let endpoint = options
            .endpoint
            .or_else(|| std::env::var("AWS_ENDPOINT_URL").ok())
            .filter(|url| !url.is_empty());
        let local = endpoint.as_deref().is_some_and(is_local);
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .http_client(http_client(endpoint.as_deref())?)
            .retry_config(RetryConfig::standard().with_max_attempts(Self::ATTEMPTS))
            .timeout_config(
                TimeoutConfig::builder()
                    .connect_timeout(Self::CONNECT_TIMEOUT)
                    .operation_attempt_timeout(Self::CALL_TIMEOUT)
                    .build(),
            );
        if let Some(url) = &endpoint {
            loader = loader.endpoint_url(url);
        }
        if let Some(region) = options.region {
            loader = loader.region(Region::new(region));
        }
        let no_keys = std::env::var_os("AWS_ACCESS_KEY_ID").is_none();
        match options.profile {
            Some(profile) => loader = loader.profile_name(profile),
            // Emulators take any key; nobody should have to set one to try Curfew out.
            None if local && no_keys => {
                loader = loader
                    .credentials_provider(Credentials::new("test", "test", None, None, "emulator"));
            }
            None => {}
        }
        let mut sdk = loader.load().await;
        if sdk.region().is_none() {
            if !local {
                return Err(ConnectError::NoRegion);
            }
            sdk = sdk.into_builder().region(Region::new("us-east-1")).build();
        }
        Ok(Self { sdk, endpoint })
    }

    /// The same way to another region.
    #[must_use]
    pub fn in_region(&self, region: &str) -> Self {
        let region = Region::new(region.to_owned());
        Self {
            sdk: self.sdk.clone().into_builder().region(region).build(),
            endpoint: self.endpoint.clone(),
        }
    }

    /// The same way into another account, as its role. The role is assumed at the first call, and again before its credentials run
    /// out; every connection made from this one shares them.
    pub async fn into_account(&self, account: &Account) -> Self {
        let mut role = AssumeRoleProvider::builder(account.role.as_str())
            .session_name(Self::SESSION)
            .configure(&self.sdk);
        if let Some(external_id) = &account.external_id {
            role = role.external_id(external_id);
        }
        let role = SharedCredentialsProvider::new(role.build().await);
        // A cache for each account: the SDK's own keeps the credentials of 64 providers at most.
        let cache = IdentityCache::lazy().buffer_time(Self::RENEWAL).build();
        let sdk = self.sdk.clone().into_builder();
        Self {
            sdk: sdk.credentials_provider(role).identity_cache(cache).build(),
            endpoint: self.endpoint.clone(),
        }
    }

    /// The region of every client made from this connection.
    pub fn region(&self) -> &str {
        self.sdk
            .region()
            .expect("a connection always has a region")
            .as_ref()
    }

    /// The endpoint, where it is not AWS's own.
    pub fn endpoint(&self) -> Option<&str> {
        self.endpoint.as_deref()
    }

    /// Whether this is an emulator on this machine rather than AWS.
    pub fn is_local(&self) -> bool {
        self.endpoint().is_some_and(is_local)
    }
}

/// Loopback by address or by one of the names that resolve to it, LocalStack's included.
fn is_local(url: &str) -> bool {
    let authority = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = authority.split(['/', '?']).next().unwrap_or_default();
    let host = match authority.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => authority
            .rsplit_once(':')
            .map_or(authority, |(host, _)| host),
    };
    let named = [
        "localhost",
        "localhost.localstack.cloud",
        "host.docker.internal",
    ];
    host.parse::<std::net::IpAddr>()
        .is_ok_and(|address| address.is_loopback())
        || named.contains(&host)
        || host.ends_with(".localhost")
        || host.ends_with(".localhost.localstack.cloud")
}

/// ring rather than aws-lc: no C toolchain to build it, and no 50 ms of entropy gathering at a Lambda's first handshake.
fn http_client(endpoint: Option<&str>) -> Result<SharedHttpClient, ConnectError> {
    let builder = aws_smithy_http_client::Builder::new();
    if endpoint.is_some_and(|url| url.starts_with("http://")) {
        return Ok(builder.build_http());
    }
    let mut roots = TrustStore::default();
    if let Ok(path) = std::env::var("AWS_CA_BUNDLE") {
        let pem = std::fs::read(&path).map_err(|source| ConnectError::CaBundle { path, source })?;
        roots = TrustStore::empty().with_pem_certificate(pem);
    }
    let tls = TlsContext::builder()
        .with_trust_store(roots)
        .build()
        .expect("a trust store is all that a context needs");
    Ok(builder
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .tls_context(tls)
        .build_https())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_is_local() {
        for local in [
            "http://127.0.0.1:4566",
            "http://localhost:4566/",
            "http://[::1]:4566",
            "http://localhost.localstack.cloud:4566",
            "https://abc.execute-api.localhost.localstack.cloud:4566/x",
        ] {
            assert!(is_local(local), "{local}");
        }
        for remote in [
            "https://ec2.eu-west-3.amazonaws.com",
            "http://10.0.0.1:4566",
            "http://localhost.example.com",
        ] {
            assert!(!is_local(remote), "{remote}");
        }
    }
}
