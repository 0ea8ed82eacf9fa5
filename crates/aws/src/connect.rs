//! Connects to AWS, LocalStack or the embedded emulator: endpoint, region, credentials, TLS and timeouts.

mod client;
mod credentials;
#[cfg(feature = "proxy")]
mod proxy;
mod role;
mod trust;

use std::path::PathBuf;
use std::time::Duration;

use aws_config::identity::IdentityCache;
use aws_config::provider_config::ProviderConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_runtime_api::client::http::{SharedHttpClient, SharedHttpConnector};
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use curfew_core::account_regions::TargetAccount;
use rustls::RootCertStore;

pub use self::credentials::CredentialSource;
use self::credentials::{Need, Profiles, region_of_the_instance};
use self::role::AssumedRole;
pub use self::trust::{Trust, TrustError};
use crate::calls::ApiCalls;
use crate::clock::Clock;
use crate::clock_skew::ClockSkewWatch;
use crate::endpoint::endpoint_of;
use crate::endpoint_kind::{EndpointKind, is_local};

/// Where to connect. Omitted values come from the environment and the shared AWS files, as for every AWS tool.
#[derive(Clone, Debug, Default)]
pub struct ConnectOptions {
    /// The endpoint instead of AWS's own, such as `http://127.0.0.1:4566`.
    pub endpoint: Option<String>,
    /// The region, such as `eu-west-3`.
    pub region: Option<String>,
    /// A profile in the shared AWS files. If set, only its credentials are used, and those in the environment are ignored.
    pub profile: Option<String>,
    /// The root certificates that are trusted.
    pub trust: Trust,
}

/// The configuration from which all service clients are created: endpoint, region, credentials, HTTP client and counters.
#[derive(Clone, Debug)]
pub struct Connection {
    /// The SDK's configuration.
    pub sdk: SdkConfig,
    /// Counts the calls of this connection and of every connection made from it.
    pub calls: ApiCalls,
    /// The source of the credentials, once they were first resolved.
    pub source: CredentialSource,
    pub(crate) clock_skew_watch: ClockSkewWatch,
    endpoint: Option<String>,
}

/// Why a connection can't be configured.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Neither the options nor the environment nor the profile name a region.
    #[error("no AWS region is set; use --region, AWS_REGION or the profile's `region`")]
    NoRegion,
    /// Lambda's environment has no keys.
    #[error("the environment variable `{0}` is not set; Lambda sets it")]
    NoKey(&'static str),
    /// The configured root certificates could not be loaded.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The selected profile does not exist.
    #[error(
        "there is no profile `{}` in `{}` and `{}`: there is {known}",
        .name.escape_debug(), .files[0].display(), .files[1].display()
    )]
    UnknownProfile {
        /// The selected name.
        name: String,
        /// The shared AWS files.
        files: [PathBuf; 2],
        /// The existing profiles, as text.
        known: String,
    },
    /// One of the shared AWS files can't be read.
    #[error("the AWS file `{}` can't be read", .path.display())]
    SharedFile {
        /// The file's path.
        path: PathBuf,
        /// The error of reading it.
        source: std::io::Error,
    },
    /// The shared AWS files can't be parsed.
    #[error("the shared AWS files can't be read: {0}")]
    Profiles(String),
}

impl Connection {
    /// Time limit for one attempt. AWS responds within a second or two, with a page of a thousand instances within four; an
    /// attempt that takes longer has hung.
    const CALL_TIMEOUT: Duration = Duration::from_secs(15);
    const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
    /// The first attempt and two retries, with the SDK's jittered backoff; a pass that fails is followed by another pass.
    const ATTEMPTS: u32 = 3;
    /// How long before its expiry a role's credentials are renewed: longer than a call with its retries takes, so that none
    /// is in flight at the expiry.
    const RENEWAL: Duration = Duration::from_mins(2);

    /// Reads the environment, the shared AWS files and, if set, `AWS_CA_BUNDLE`. Makes no call, except to the instance
    /// metadata service for the region if nothing else sets one.
    pub async fn open(options: ConnectOptions) -> Result<Self, ConnectError> {
        let endpoint = options.endpoint.or_else(|| env("AWS_ENDPOINT_URL"));
        let http = http_client(endpoint.as_deref(), options.trust)?;
        let need = if endpoint.as_deref().is_some_and(is_local) {
            Need::None
        } else {
            Need::Credentials
        };
        let profiles = Profiles::load(options.profile.as_deref(), need).await?;
        let region = options.region.map(Region::new);
        let region = region.or_else(region_of_environment);
        let region = region.or_else(|| profiles.region());
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .http_client(http.clone())
            .retry_config(Self::retries())
            .timeout_config(Self::timeouts())
            // Both are resolved below: what is searched depends on the endpoint, which may come from a profile.
            .no_credentials()
            .region(region.clone().unwrap_or(EMULATOR_REGION));
        if let Some(url) = &endpoint {
            loader = loader.endpoint_url(url);
        }
        if let Some(profile) = &options.profile {
            loader = loader.profile_name(profile);
        }
        let sdk = loader.load().await;
        let endpoint = sdk.endpoint_url().map(str::to_owned);
        let local = endpoint.as_deref().is_some_and(is_local);
        let conf = ProviderConfig::without_region()
            .with_http_client(http)
            .with_retry_config(Self::retries())
            .with_timeout_config(Self::timeouts())
            .with_behavior_version(Some(BehaviorVersion::latest()))
            .with_use_fips(sdk.use_fips())
            .with_use_dual_stack(sdk.use_dual_stack());
        let region = match region {
            Some(region) => region,
            None if local => EMULATOR_REGION,
            None => region_of_the_instance(&conf)
                .await
                .ok_or(ConnectError::NoRegion)?,
        };
        let conf = conf.with_region(Some(region.clone()));
        let source = CredentialSource::default();
        let credentials = if options.profile.is_some() {
            SharedCredentialsProvider::new(profiles.alone(&conf, &source))
        } else if local && env(ACCESS_KEY).is_none() {
            source.set("nowhere: an emulator takes any keys");
            SharedCredentialsProvider::new(emulator_credentials())
        } else {
            SharedCredentialsProvider::new(profiles.in_order(&conf, &source))
        };
        let sdk = sdk.into_builder().region(region);
        Ok(Self {
            sdk: sdk.credentials_provider(credentials).build(),
            calls: ApiCalls::default(),
            source,
            clock_skew_watch: ClockSkewWatch::default(),
            endpoint,
        })
    }

    /// The connection for a Lambda function, which takes the region and keys from its environment: no shared AWS files and no
    /// metadata service are consulted, so that a cold start neither waits for them nor contains the code for them.
    pub fn of_function(endpoint: Option<String>, trust: Trust) -> Result<Self, ConnectError> {
        let endpoint = endpoint.or_else(|| env("AWS_ENDPOINT_URL"));
        let local = endpoint.as_deref().is_some_and(is_local);
        let region = match region_of_environment() {
            Some(region) => region,
            None if local => EMULATOR_REGION,
            None => return Err(ConnectError::NoRegion),
        };
        let credentials = match env(ACCESS_KEY) {
            None if local => emulator_credentials(),
            None => return Err(ConnectError::NoKey(ACCESS_KEY)),
            Some(key) => {
                let secret = env(SECRET_KEY).ok_or(ConnectError::NoKey(SECRET_KEY))?;
                Credentials::new(key, secret, env("AWS_SESSION_TOKEN"), None, "environment")
            }
        };
        let mut sdk = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .http_client(http_client(endpoint.as_deref(), trust)?)
            .retry_config(Self::retries())
            .timeout_config(Self::timeouts())
            .region(region)
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .use_fips(is_on("AWS_USE_FIPS_ENDPOINT"))
            .use_dual_stack(is_on("AWS_USE_DUALSTACK_ENDPOINT"));
        sdk.set_endpoint_url(endpoint.clone());
        let sdk = sdk.build();
        Ok(Self {
            sdk,
            calls: ApiCalls::default(),
            source: CredentialSource::default(),
            clock_skew_watch: ClockSkewWatch::default(),
            endpoint,
        })
    }

    /// The same connection, with `clock` corrected by the `Date` of each answer.
    #[must_use]
    pub fn correcting(self, clock: &Clock) -> Self {
        Self {
            clock_skew_watch: ClockSkewWatch::correcting(clock),
            ..self
        }
    }

    /// The same connection in another region.
    #[must_use]
    pub fn in_region(&self, region: &str) -> Self {
        let region = Region::new(region.to_owned());
        Self {
            sdk: self.sdk.clone().into_builder().region(region).build(),
            calls: self.calls.clone(),
            source: self.source.clone(),
            clock_skew_watch: self.clock_skew_watch.clone(),
            endpoint: self.endpoint.clone(),
        }
    }

    /// The same connection in another account, with its role's credentials. The role is assumed at the first call, and again
    /// before its credentials expire; connections made from this one share them.
    #[must_use]
    pub fn into_account(&self, account: &TargetAccount) -> Self {
        let role = AssumedRole::new(&self.sdk, &self.calls, account.clone());
        let role = SharedCredentialsProvider::new(role);
        // A cache for each account: the SDK's default cache holds the credentials of at most 64 providers.
        let cache = IdentityCache::lazy().buffer_time(Self::RENEWAL).build();
        let sdk = self.sdk.clone().into_builder();
        Self {
            sdk: sdk.credentials_provider(role).identity_cache(cache).build(),
            calls: self.calls.clone(),
            source: self.source.clone(),
            clock_skew_watch: self.clock_skew_watch.clone(),
            endpoint: self.endpoint.clone(),
        }
    }

    fn retries() -> RetryConfig {
        RetryConfig::standard().with_max_attempts(Self::ATTEMPTS)
    }

    fn timeouts() -> TimeoutConfig {
        TimeoutConfig::builder()
            .operation_attempt_timeout(Self::CALL_TIMEOUT)
            .build()
    }

    /// The region of every client made from this connection.
    pub fn region(&self) -> &str {
        self.sdk
            .region()
            .expect("a connection always has a region")
            .as_ref()
    }

    /// The configured endpoint; none for AWS's own.
    pub fn endpoint(&self) -> Option<&str> {
        self.endpoint.as_deref()
    }

    /// The endpoint configured for a service; none for AWS's own. `AWS_ENDPOINT_URL_S3` and the `services` of a profile set
    /// one for a single service. The service is named by its id, such as `S3` or `CloudFormation`.
    pub fn endpoint_of(&self, service: &'static str) -> Option<String> {
        endpoint_of(service, &self.sdk)
    }
}

// Here and not with the type, so that the modules don't depend on each other.
impl EndpointKind {
    /// The kind of a connection's endpoint.
    pub fn of(connection: &Connection) -> Self {
        Self::at(connection.endpoint())
    }
}

const ACCESS_KEY: &str = "AWS_ACCESS_KEY_ID";
const SECRET_KEY: &str = "AWS_SECRET_ACCESS_KEY";
/// The region of emulators if none is configured.
const EMULATOR_REGION: Region = Region::from_static("us-east-1");

/// Emulators accept any key, so Curfew needs no configured one there.
fn emulator_credentials() -> Credentials {
    Credentials::new("test", "test", None, None, "emulator")
}

fn env(key: &str) -> Option<String> {
    std::env::var(key).ok().filter(|value| !value.is_empty())
}

fn region_of_environment() -> Option<Region> {
    let region = env("AWS_REGION").or_else(|| env("AWS_DEFAULT_REGION"));
    region.map(Region::new)
}

fn is_on(key: &str) -> bool {
    env(key).is_some_and(|value| value.eq_ignore_ascii_case("true"))
}

/// A connector for `url`, an endpoint outside AWS.
pub(crate) fn webhook_connector(
    url: &str,
    trust: Trust,
) -> Result<SharedHttpConnector, TrustError> {
    let roots = roots(Some(url), trust)?;
    Ok(client::connector(roots, Connection::CONNECT_TIMEOUT))
}

fn http_client(endpoint: Option<&str>, trust: Trust) -> Result<SharedHttpClient, TrustError> {
    let roots = roots(endpoint, trust)?;
    Ok(client::http_client(roots, Connection::CONNECT_TIMEOUT))
}

fn roots(endpoint: Option<&str>, trust: Trust) -> Result<RootCertStore, TrustError> {
    if endpoint.is_some_and(|url| url.starts_with("http://")) {
        // Without TLS, no root certificates are needed.
        Ok(RootCertStore::empty())
    } else {
        trust.roots(env("AWS_CA_BUNDLE").as_deref())
    }
}
