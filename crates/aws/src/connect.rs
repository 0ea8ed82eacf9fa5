//! How to reach AWS, LocalStack or the embedded emulator: one place for endpoint, region, credentials, TLS and time-outs.

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
use crate::endpoint_kind::is_local;

/// Where to connect. Everything left out comes from the environment and the shared AWS files, as for every AWS tool.
#[derive(Clone, Debug, Default)]
pub struct ConnectOptions {
    /// Instead of AWS's own endpoints: `http://127.0.0.1:4566`.
    pub endpoint: Option<String>,
    /// For example `eu-west-3`.
    pub region: Option<String>,
    /// A profile of the shared AWS files. Named here, its credentials count and no others: not those of the environment, either.
    pub profile: Option<String>,
    /// The root certificates that are trusted.
    pub trust: Trust,
}

/// A way to AWS, from which the service clients are made.
#[derive(Clone, Debug)]
pub struct Connection {
    /// The SDK's configuration.
    pub sdk: SdkConfig,
    /// The calls that are made by way of it, and of every connection made from it.
    pub calls: ApiCalls,
    /// Where its credentials come from, once they have been asked for.
    pub source: CredentialSource,
    pub(crate) clock_skew_watch: ClockSkewWatch,
    endpoint: Option<String>,
}

/// A connection that can't be described.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Neither the options nor the environment nor the profile name a region.
    #[error("no AWS region is set; use --region, AWS_REGION or the profile's `region`")]
    NoRegion,
    /// The environment has no keys, and nothing else was to be looked at.
    #[error("the environment variable `{0}` is not set; Lambda sets it")]
    NoKey(&'static str),
    /// The configured root certificates could not be loaded.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The profile that is named is not there.
    #[error(
        "there is no profile `{}` in `{}` and `{}`: there is {known}",
        .name.escape_debug(), .files[0].display(), .files[1].display()
    )]
    UnknownProfile {
        /// As it was named.
        name: String,
        /// The shared AWS files.
        files: [PathBuf; 2],
        /// Those that are there.
        known: String,
    },
    /// One of the shared AWS files can't be read.
    #[error("the AWS file `{}` can't be read", .path.display())]
    SharedFile {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The shared AWS files can't be understood.
    #[error("the shared AWS files can't be read: {0}")]
    Profiles(String),
}

impl Connection {
    /// An emulator is close: a call that takes longer than this has hung. AWS answers within a second or two; a page of
    /// a thousand instances may take four.
    const CALL_TIMEOUT: Duration = Duration::from_secs(15);
    const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
    /// The first try and two more, with the SDK's jittered backoff; a pass that still fails is followed by another pass.
    const ATTEMPTS: u32 = 3;
    /// A role's credentials are renewed this long before they run out: longer than a call and its retries may take, so that none
    /// is under way when they do.
    const RENEWAL: Duration = Duration::from_mins(2);

    /// Reads the environment, the shared AWS files and, where set, `AWS_CA_BUNDLE`. Makes no call, but for asking an instance's
    /// metadata service for its region where nothing else names one.
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
            // Both are looked for below: what is searched depends on the endpoint, which a profile may name, too.
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

    /// The same way to another region.
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

    /// The same way into another account, as its role. The role is assumed at the first call, and again before its credentials run
    /// out; every connection made from this one shares them.
    #[must_use]
    pub fn into_account(&self, account: &TargetAccount) -> Self {
        let role = AssumedRole::new(&self.sdk, &self.calls, account.clone());
        let role = SharedCredentialsProvider::new(role);
        // A cache for each account: the SDK's own keeps the credentials of 64 providers at most.
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

    /// The endpoint, where it is not AWS's own.
    pub fn endpoint(&self) -> Option<&str> {
        self.endpoint.as_deref()
    }

    /// Where a service is asked, if not at AWS's own endpoint: `AWS_ENDPOINT_URL_S3` and the `services` of a profile name one for a
    /// service alone. The service by its id: `S3`, `CloudFormation`.
    pub fn endpoint_of(&self, service: &'static str) -> Option<String> {
        endpoint_of(service, &self.sdk)
    }
}

const ACCESS_KEY: &str = "AWS_ACCESS_KEY_ID";
const SECRET_KEY: &str = "AWS_SECRET_ACCESS_KEY";
/// The region of emulators, unless one is configured.
const EMULATOR_REGION: Region = Region::from_static("us-east-1");

/// Emulators accept any key, so that Curfew can be tried without configuring one.
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
