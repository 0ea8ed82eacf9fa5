//! Credential sources: the selected profile alone, or else the environment, the shared AWS files, a web identity, a
//! container's role and the instance's role, in the order of the AWS CLI. The Lambda doesn't use this module: its environment
//! has the keys.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_config::ecs::EcsCredentialsProvider;
use aws_config::environment::EnvironmentVariableCredentialsProvider;
use aws_config::imds;
use aws_config::imds::credentials::ImdsCredentialsProvider;
use aws_config::imds::region::ImdsRegionProvider;
use aws_config::profile::{ProfileFileCredentialsProvider, ProfileSet};
use aws_config::provider_config::ProviderConfig;
use aws_config::web_identity_token::WebIdentityTokenCredentialsProvider;
use aws_config::{Region, profile};
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, Result as Provided, future};
use aws_runtime::env_config::file::EnvConfigFiles;
use aws_types::os_shim_internal::{Env, Fs};
use tokio::time::timeout;

use super::{ConnectError, env};
use crate::error::innermost;

/// Time limit for one answer of the instance metadata service. On an instance it answers within milliseconds; anywhere else
/// the whole limit is spent waiting. The AWS CLI uses the same value.
const METADATA_TIMEOUT: Duration = Duration::from_secs(1);

/// Largest accepted file. Real files have some hundred profiles of some hundred bytes.
const LARGEST_FILE: u64 = 4 << 20;

/// The name of the source that provided credentials, once they were resolved. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct CredentialSource(Arc<Mutex<Option<String>>>);

impl CredentialSource {
    /// A description such as ``the profile `ops` ``; none before credentials were resolved.
    pub fn name(&self) -> Option<String> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(super) fn set(&self, name: &str) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if held.as_deref() != Some(name) {
            *held = Some(name.to_owned());
        }
    }
}

/// Whether credentials may have to come from the shared AWS files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// Credentials may have to come from them.
    Credentials,
    /// They are not needed unless a profile is selected: the endpoint is an emulator's.
    None,
}

/// The shared AWS files, and the selected profile.
#[derive(Debug)]
pub(super) struct Profiles {
    set: ProfileSet,
    selected: String,
    files: [PathBuf; 2],
}

impl Profiles {
    /// Reads the shared AWS files. A profile selected by the caller or by `AWS_PROFILE` must exist; for an emulator, which
    /// needs no credentials, `AWS_PROFILE` is ignored.
    pub(super) async fn load(named: Option<&str>, need: Need) -> Result<Self, ConnectError> {
        let files = [
            ("AWS_CONFIG_FILE", "config"),
            ("AWS_SHARED_CREDENTIALS_FILE", "credentials"),
        ]
        .map(|(variable, name)| {
            expanded(env(variable).unwrap_or_else(|| format!("~/.aws/{name}")))
        });
        for path in &files {
            match curfew_files::check(path, LARGEST_FILE) {
                // A missing file means no profiles; the SDK handles that.
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    let path = path.clone();
                    return Err(ConnectError::SharedFile {
                        path,
                        source: error,
                    });
                }
                _ => {}
            }
        }
        let of_environment = env("AWS_PROFILE");
        let selected = named.or(of_environment.as_deref()).unwrap_or("default");
        let selected = selected.to_owned();
        let set = profile::load(
            &Fs::real(),
            &Env::real(),
            &EnvConfigFiles::default(),
            Some(selected.clone().into()),
        )
        .await;
        let set = match set {
            Ok(set) => set,
            Err(_) if named.is_none() && need == Need::None => ProfileSet::default(),
            Err(error) => return Err(ConnectError::Profiles(innermost(&error).to_string())),
        };
        let profiles = Self {
            set,
            selected,
            files,
        };
        let is_named = named.is_some() || (of_environment.is_some() && need == Need::Credentials);
        if is_named && profiles.set.get_profile(&profiles.selected).is_none() {
            return Err(profiles.unknown());
        }
        Ok(profiles)
    }

    fn unknown(&self) -> ConnectError {
        let mut known: Vec<&str> = self.set.profiles().collect();
        known.sort_unstable();
        let known = known.iter().fold(String::new(), |mut text, name| {
            let separator = if text.is_empty() { "" } else { ", " };
            let _always = write!(text, "{separator}`{}`", name.escape_debug());
            text
        });
        ConnectError::UnknownProfile {
            name: self.selected.clone(),
            files: self.files.clone(),
            known: if known.is_empty() {
                "no profile at all".to_owned()
            } else {
                known
            },
        }
    }

    /// The profile's region.
    pub(super) fn region(&self) -> Option<Region> {
        let profile = self.set.get_profile(&self.selected)?;
        let region = profile.get("region").filter(|region| !region.is_empty());
        region.map(|region| Region::new(region.to_owned()))
    }

    /// The credentials of the profile, and of no other source.
    pub(super) fn alone(self, conf: &ProviderConfig, found: &CredentialSource) -> Sources {
        Sources {
            sources: vec![self.source(conf)],
            found: found.clone(),
        }
    }

    /// The credentials of the first source that has any.
    pub(super) fn in_order(self, conf: &ProviderConfig, found: &CredentialSource) -> Sources {
        let environment = EnvironmentVariableCredentialsProvider::new();
        let web_identity = WebIdentityTokenCredentialsProvider::builder().configure(conf);
        let container = EcsCredentialsProvider::builder().configure(conf);
        Sources {
            sources: vec![
                Source::new("the environment (AWS_ACCESS_KEY_ID)", environment),
                self.source(conf),
                Source::new(
                    "the web identity (AWS_WEB_IDENTITY_TOKEN_FILE)",
                    web_identity.build(),
                ),
                Source::new("the container's role", container.build()),
                Source::new("the instance's role (IMDS)", InstanceRole::new(conf)),
            ],
            found: found.clone(),
        }
    }

    fn source(self, conf: &ProviderConfig) -> Source {
        let profile = ProfileFileCredentialsProvider::builder()
            .configure(conf)
            .profile_name(self.selected.clone())
            .with_custom_provider("Ec2InstanceMetadata", InstanceRole::new(conf));
        let [config, credentials] = &self.files;
        Source::new(
            &format!(
                "the profile `{}` (`{}`, `{}`)",
                self.selected.escape_debug(),
                config.display(),
                credentials.display()
            ),
            profile.build(),
        )
    }
}

/// Expands a leading `~/` as the SDK does; without `HOME`, the path is unchanged.
fn expanded(path: String) -> PathBuf {
    match (path.strip_prefix("~/"), env("HOME")) {
        (Some(rest), Some(home)) => PathBuf::from(home).join(rest),
        _ => path.into(),
    }
}

/// The region of the instance that this process runs on; none elsewhere.
pub(super) async fn region_of_the_instance(conf: &ProviderConfig) -> Option<Region> {
    let provider = ImdsRegionProvider::builder().imds_client(metadata(conf));
    let provider = provider.configure(conf).build();
    timeout(METADATA_TIMEOUT, provider.region()).await.ok()?
}

fn metadata(conf: &ProviderConfig) -> imds::Client {
    // Retrying is useless: a service that refuses once refuses again.
    let client = imds::Client::builder().configure(conf).max_attempts(1);
    client.build()
}

/// The credentials of the instance's role, with a time limit.
#[derive(Debug)]
struct InstanceRole(ImdsCredentialsProvider);

impl InstanceRole {
    fn new(conf: &ProviderConfig) -> Self {
        let role = ImdsCredentialsProvider::builder().imds_client(metadata(conf));
        Self(role.configure(conf).build())
    }

    async fn provide(&self) -> Provided {
        match timeout(METADATA_TIMEOUT, self.0.provide_credentials()).await {
            Ok(provided) => provided,
            // While the service doesn't respond, credentials that it provided before are used until they expire.
            Err(_) => self.0.fallback_on_interrupt().ok_or_else(|| {
                let message = format!("no answer within {} s", METADATA_TIMEOUT.as_secs());
                CredentialsError::not_loaded(message)
            }),
        }
    }
}

impl ProvideCredentials for InstanceRole {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.provide())
    }

    fn fallback_on_interrupt(&self) -> Option<Credentials> {
        self.0.fallback_on_interrupt()
    }
}

/// Several credential sources, tried in order. A source that is configured and fails ends the search: going on could act with
/// another identity.
#[derive(Debug)]
pub(super) struct Sources {
    sources: Vec<Source>,
    found: CredentialSource,
}

#[derive(Debug)]
struct Source {
    name: String,
    provider: Box<dyn ProvideCredentials>,
}

impl Source {
    fn new(name: &str, provider: impl ProvideCredentials + 'static) -> Self {
        Self {
            name: name.to_owned(),
            provider: Box::new(provider),
        }
    }
}

/// Why no source has credentials. The message is complete: users see the innermost error.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct NoCredentials(String);

impl Sources {
    async fn provide(&self) -> Provided {
        let mut reasons = String::new();
        for Source { name, provider } in &self.sources {
            let error = match provider.provide_credentials().await {
                Ok(credentials) => {
                    self.found.set(name);
                    return Ok(credentials);
                }
                Err(error) => error,
            };
            let reason = innermost(&error);
            if !matches!(error, CredentialsError::CredentialsNotLoaded(_)) {
                let message = format!("{name} gives none: {reason}");
                return Err(CredentialsError::provider_error(NoCredentials(message)));
            }
            let separator = if reasons.is_empty() { "" } else { "; " };
            let _always = write!(reasons, "{separator}{name} has none: {reason}");
        }
        Err(CredentialsError::not_loaded(NoCredentials(reasons)))
    }
}

impl ProvideCredentials for Sources {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.provide())
    }

    fn fallback_on_interrupt(&self) -> Option<Credentials> {
        let mut sources = self.sources.iter();
        sources.find_map(|source| source.provider.fallback_on_interrupt())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Fixed(fn() -> Provided);

    impl ProvideCredentials for Fixed {
        fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            future::ProvideCredentials::ready((self.0)())
        }
    }

    type Answer = fn() -> Provided;

    const KEYS: Answer = || {
        Ok(Credentials::new(
            "AKIAIOSFODNN7EXAMPLE",
            "secret",
            None,
            None,
            "test",
        ))
    };

    async fn ask(sources: [(&str, Answer); 3]) -> (Option<String>, String) {
        let found = CredentialSource::default();
        let sources = Sources {
            sources: sources
                .map(|(name, answer)| Source::new(name, Fixed(answer)))
                .into(),
            found: found.clone(),
        };
        let result = match sources.provide().await {
            Ok(credentials) => credentials.access_key_id().to_owned(),
            Err(error) => innermost(&error).to_string(),
        };
        (found.name(), result)
    }

    #[tokio::test]
    async fn the_first_source_with_credentials_is_used_and_a_failing_one_ends_the_search() {
        let nothing = || Err(CredentialsError::not_loaded("it is not set"));
        let failure = || Err(CredentialsError::provider_error("the session has expired"));
        let (found, result) = ask([("a", nothing), ("b", KEYS), ("c", failure)]).await;
        assert_eq!(found.as_deref(), Some("b"));
        assert_eq!(result, "AKIAIOSFODNN7EXAMPLE");
        let (found, result) = ask([("a", nothing), ("b", failure), ("c", KEYS)]).await;
        assert_eq!(found, None);
        assert_eq!(result, "b gives none: the session has expired");
        let (_, result) = ask([("a", nothing), ("b", nothing), ("c", nothing)]).await;
        assert_eq!(
            result,
            "a has none: it is not set; b has none: it is not set; c has none: it is not set"
        );
    }
}
