//! Reads and caches the configuration: one JSON document in one SSM parameter or, if that is too small, in the parts that the
//! parameter names.

use std::sync::Arc;

use curfew_aws::clock::Clock;
use curfew_aws::configuration_document::{DocumentParts, ParameterContents};
use curfew_aws::connect::Connection;
use curfew_aws::error::{CloudError, CloudErrorKind, presentable};
use curfew_aws::parameter::ParameterStore;
use curfew_core::account_regions::Targets;
use curfew_core::configuration::{DocumentError, RawScheduleSet};
use curfew_core::error_code::ErrorCode;
use curfew_core::schedule_set::ScheduleSet;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::Mutex;
use tracing::warn;

use crate::api_error::ApiError;

/// How long a configuration is used before it is read again. Schedules have a resolution of one minute, so a change is active by
/// the next edge. A longer age delays changes; a shorter one adds a call of about 10 ms to more invocations.
pub const MAX_AGE: SignedDuration = SignedDuration::from_secs(60);

/// The same for a pass: its rule may be newer than the cached configuration, and an account may have been removed while its message
/// waited. A hundred busy environments read it twenty times a second, half of SSM's limit for an account.
/// <https://docs.aws.amazon.com/general/latest/gr/ssm.html>
pub const MAX_AGE_FOR_PASSES: SignedDuration = SignedDuration::from_secs(5);

/// The configuration parameter and its last valid contents.
#[derive(Debug)]
pub struct ConfigurationCache {
    store: ParameterStore,
    parameter: String,
    cached: Mutex<Option<CachedConfiguration>>,
}

/// A parsed configuration.
#[derive(Clone, Debug)]
pub struct LoadedConfiguration {
    /// The schedules, and the rules that assign instances to them.
    pub schedule_set: Arc<ScheduleSet>,
    /// The accounts and regions of managed instances.
    pub targets: Arc<Targets>,
}

#[derive(Debug)]
struct CachedConfiguration {
    configuration: LoadedConfiguration,
    /// The parameter's value. It names its parts by hash, so an unchanged value means unchanged parts.
    contents: ParameterContents,
    /// When the last read was attempted, successful or not.
    read_at: Timestamp,
}

/// Reports why the configuration can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigurationReadError {
    /// The parameter does not exist.
    #[error("the configuration parameter `{parameter}` does not exist")]
    Missing {
        /// The parameter's name.
        parameter: String,
    },
    /// The parameter could not be read.
    #[error("the configuration parameter `{parameter}` can't be read")]
    Unread {
        /// The parameter's name.
        parameter: String,
        /// The error that AWS returned.
        source: CloudError,
    },
    /// The document is for a newer release.
    #[error("the configuration parameter `{parameter}` is for a newer release: {source}")]
    Newer {
        /// The parameter's name.
        parameter: String,
        /// The document's version, and the versions that this code reads.
        source: DocumentError,
    },
    /// The value is not a valid configuration document.
    #[error("the configuration parameter `{parameter}` is not valid: {problems}")]
    Invalid {
        /// The parameter's name.
        parameter: String,
        /// All problems found, separated by semicolons.
        problems: String,
    },
}

impl ConfigurationCache {
    /// Creates the cache for a parameter. Reads nothing yet.
    pub fn new(connection: &Connection, parameter: impl Into<String>) -> Self {
        Self {
            store: ParameterStore::new(connection),
            parameter: parameter.into(),
            cached: Mutex::new(None),
        }
    }

    /// Returns the configuration, read at most `max_age` ago. If a newer read fails, returns the previous configuration; fails if
    /// there is none.
    pub async fn current(
        &self,
        clock: &Clock,
        max_age: SignedDuration,
    ) -> Result<LoadedConfiguration, ConfigurationReadError> {
        let now = clock.now();
        let mut cached = self.cached.lock().await;
        if let Some(cached) = cached.as_ref() {
            let age = now.duration_since(cached.read_at);
            if age < max_age {
                return Ok(cached.configuration.clone());
            }
        }
        match (self.read(cached.as_ref()).await, cached.as_mut()) {
            (Ok((configuration, contents)), _) => {
                *cached = Some(CachedConfiguration {
                    configuration: configuration.clone(),
                    contents,
                    read_at: now,
                });
                Ok(configuration)
            }
            (Err(error), Some(previous)) => {
                warn!(
                    error = &error as &dyn std::error::Error,
                    "configuration could not be read, keeping the previous one"
                );
                previous.read_at = now;
                Ok(previous.configuration.clone())
            }
            (Err(error), None) => Err(error),
        }
    }

    /// Reads the parameter, and its parts unless the parameter is unchanged since the cached read.
    async fn read(
        &self,
        cached: Option<&CachedConfiguration>,
    ) -> Result<(LoadedConfiguration, ParameterContents), ConfigurationReadError> {
        let mut contents = self.contents().await?;
        if let Some(cached) = cached.filter(|cached| cached.contents == contents) {
            return Ok((cached.configuration.clone(), contents));
        }
        let text = match self.document(&contents).await {
            // A newer configuration has been written meanwhile, and the older parts are deleted.
            Err(ConfigurationReadError::Missing { .. }) => {
                contents = self.contents().await?;
                self.document(&contents).await?
            }
            document => document?,
        };
        let raw = RawScheduleSet::from_json(&text).map_err(|error| match error {
            DocumentError::Newer { .. } => ConfigurationReadError::Newer {
                parameter: self.parameter.clone(),
                source: error,
            },
            DocumentError::Malformed(problem) => self.invalid(problem.to_string()),
        })?;
        let resolved = raw.resolve().and_then(|schedule_set| {
            Ok(LoadedConfiguration {
                schedule_set: Arc::new(schedule_set),
                targets: Arc::new(raw.targets()?),
            })
        });
        let configuration = resolved.map_err(|problems| {
            let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
            self.invalid(problems.join("; "))
        })?;
        Ok((configuration, contents))
    }

    async fn document(
        &self,
        contents: &ParameterContents,
    ) -> Result<String, ConfigurationReadError> {
        match contents {
            ParameterContents::Document(document) => Ok(document.clone()),
            ParameterContents::InParts(parts) => self.join(parts).await,
        }
    }

    async fn contents(&self) -> Result<ParameterContents, ConfigurationReadError> {
        let value = self.value(&self.parameter).await?;
        ParameterContents::of(&value).map_err(|error| self.invalid(error.to_string()))
    }

    async fn join(&self, parts: &DocumentParts) -> Result<String, ConfigurationReadError> {
        let mut values = Vec::new();
        for name in parts.names(&self.parameter) {
            values.push(self.value(&name).await?);
        }
        parts
            .join(&values)
            .map_err(|error| self.invalid(error.to_string()))
    }

    async fn value(&self, parameter: &str) -> Result<String, ConfigurationReadError> {
        let value = self.store.value(parameter).await;
        value.map_err(|source| {
            let parameter = parameter.to_owned();
            match source.kind {
                CloudErrorKind::NotFound => ConfigurationReadError::Missing { parameter },
                _ => ConfigurationReadError::Unread { parameter, source },
            }
        })
    }

    fn invalid(&self, problems: String) -> ConfigurationReadError {
        ConfigurationReadError::Invalid {
            parameter: self.parameter.clone(),
            problems,
        }
    }
}

impl From<ConfigurationReadError> for ApiError {
    fn from(error: ConfigurationReadError) -> Self {
        let hint = match &error {
            ConfigurationReadError::Missing { .. } => "run `curfew deploy` to create it".to_owned(),
            ConfigurationReadError::Unread { source, .. } => format!("{source}; {}", source.hint()),
            ConfigurationReadError::Newer { .. } => {
                "run `curfew deploy` with that release to update the function".to_owned()
            }
            ConfigurationReadError::Invalid { .. } => {
                "run `curfew check` before deploying to find such errors".to_owned()
            }
        };
        Self::new(
            ErrorCode::InvalidConfiguration,
            presentable(&error.to_string()),
            presentable(&hint),
        )
    }
}
