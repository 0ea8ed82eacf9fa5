//! The configuration that decide, as the daemon wrote them: one JSON document in one SSM parameter, or where that is too small, in the
//! parts that it names.

use std::sync::Arc;

use curfew_aws::clock::Clock;
use curfew_aws::connect::Connection;
use curfew_aws::document::{Contents, Parts};
use curfew_aws::error::{CloudError, CloudErrorKind, presentable};
use curfew_aws::parameter::ParameterStore;
use curfew_core::account_regions::Targets;
use curfew_core::configuration::{DocumentError, RawScheduleSet};
use curfew_core::schedule_set::ScheduleSet;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::Mutex;
use tracing::warn;

use crate::refusal::{Code, Refusal};

/// How long configuration is used before they are read again. A minute is the grain of every schedule, so a change is in force by
/// the next edge; longer delays changes, shorter adds a call of about 10 ms to more invocations.
pub const FRESH: SignedDuration = SignedDuration::from_secs(60);

/// The same for a pass: its rule may be newer than what is known, and its message may have waited while an account was removed, which must
/// not be acted on any more. A hundred environments at work read it twenty times a second, half of what SSM allows an account.
/// <https://docs.aws.amazon.com/general/latest/gr/ssm.html>
pub const FRESH_FOR_WORK: SignedDuration = SignedDuration::from_secs(5);

/// Where the configuration come from, and the last good ones.
#[derive(Debug)]
pub struct Configuration {
    store: ParameterStore,
    parameter: String,
    known: Mutex<Option<Known>>,
}

/// What the configuration says.
#[derive(Clone, Debug)]
pub struct InForce {
    /// The schedules, and how instances are bound to them.
    pub schedule_set: Arc<ScheduleSet>,
    /// The accounts and regions whose instances are managed.
    pub targets: Arc<Targets>,
}

#[derive(Debug)]
struct Known {
    in_force: InForce,
    /// The parameter's own value: while it is the same, so are the parts that it names by their hash.
    contents: Contents,
    /// When they were last asked for, whether or not that went well.
    asked_at: Timestamp,
}

/// Configuration that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigurationError {
    /// There is no such parameter.
    #[error("the configuration parameter `{parameter}` does not exist")]
    Missing {
        /// Its name.
        parameter: String,
    },
    /// The parameter could not be read.
    #[error("the configuration parameter `{parameter}` can't be read")]
    Unread {
        /// Its name.
        parameter: String,
        /// Why.
        source: CloudError,
    },
    /// It is for newer code.
    #[error("the configuration parameter `{parameter}` is for a newer release: {source}")]
    Newer {
        /// Its name.
        parameter: String,
        /// Which, and what this code reads.
        source: DocumentError,
    },
    /// It was read and is no configuration document.
    #[error("the configuration parameter `{parameter}` is not valid: {problems}")]
    Invalid {
        /// Its name.
        parameter: String,
        /// Everything that is wrong with it.
        problems: String,
    },
}

impl Configuration {
    /// The configuration in that parameter. Nothing is read yet.
    pub fn new(connection: &Connection, parameter: impl Into<String>) -> Self {
        Self {
            store: ParameterStore::new(connection),
            parameter: parameter.into(),
            known: Mutex::new(None),
        }
    }

    /// The configuration, read at most `fresh` ago, or the last good ones where none can be had.
    pub async fn current(
        &self,
        clock: &Clock,
        fresh: SignedDuration,
    ) -> Result<InForce, ConfigurationError> {
        let now = clock.now();
        let mut known = self.known.lock().await;
        if let Some(known) = known.as_ref() {
            let age = now.duration_since(known.asked_at);
            if age < fresh {
                return Ok(known.in_force.clone());
            }
        }
        match (self.read(known.as_ref()).await, known.as_mut()) {
            (Ok((in_force, contents)), _) => {
                *known = Some(Known {
                    in_force: in_force.clone(),
                    contents,
                    asked_at: now,
                });
                Ok(in_force)
            }
            (Err(error), Some(last_good)) => {
                warn!(
                    error = &error as &dyn std::error::Error,
                    "configuration not read: the last good ones stay in force"
                );
                last_good.asked_at = now;
                Ok(last_good.in_force.clone())
            }
            (Err(error), None) => Err(error),
        }
    }

    /// Reads them; what is known already is not read again, part by part, where the parameter says that it is the same.
    async fn read(&self, known: Option<&Known>) -> Result<(InForce, Contents), ConfigurationError> {
        let mut contents = self.contents().await?;
        if let Some(known) = known.filter(|known| known.contents == contents) {
            return Ok((known.in_force.clone(), contents));
        }
        let text = match self.document(&contents).await {
            // Newer configuration has been written since, and the older parts are gone.
            Err(ConfigurationError::Missing { .. }) => {
                contents = self.contents().await?;
                self.document(&contents).await?
            }
            document => document?,
        };
        let raw = RawScheduleSet::from_json(&text).map_err(|error| match error {
            DocumentError::Newer { .. } => ConfigurationError::Newer {
                parameter: self.parameter.clone(),
                source: error,
            },
            DocumentError::Malformed(problem) => self.invalid(problem.to_string()),
        })?;
        let resolved = raw.resolve().and_then(|schedule_set| {
            Ok(InForce {
                schedule_set: Arc::new(schedule_set),
                targets: Arc::new(raw.targets()?),
            })
        });
        let in_force = resolved.map_err(|problems| {
            let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
            self.invalid(problems.join("; "))
        })?;
        Ok((in_force, contents))
    }

    async fn document(&self, contents: &Contents) -> Result<String, ConfigurationError> {
        match contents {
            Contents::Whole(document) => Ok(document.clone()),
            Contents::InParts(parts) => self.joined(parts).await,
        }
    }

    async fn contents(&self) -> Result<Contents, ConfigurationError> {
        let value = self.value(&self.parameter).await?;
        Contents::of(&value).map_err(|error| self.invalid(error.to_string()))
    }

    async fn joined(&self, parts: &Parts) -> Result<String, ConfigurationError> {
        let mut values = Vec::new();
        for name in parts.names(&self.parameter) {
            values.push(self.value(&name).await?);
        }
        parts
            .join(&values)
            .map_err(|error| self.invalid(error.to_string()))
    }

    async fn value(&self, parameter: &str) -> Result<String, ConfigurationError> {
        let value = self.store.value(parameter).await;
        value.map_err(|source| {
            let parameter = parameter.to_owned();
            match source.kind {
                CloudErrorKind::NotFound => ConfigurationError::Missing { parameter },
                _ => ConfigurationError::Unread { parameter, source },
            }
        })
    }

    fn invalid(&self, problems: String) -> ConfigurationError {
        ConfigurationError::Invalid {
            parameter: self.parameter.clone(),
            problems,
        }
    }
}

impl From<ConfigurationError> for Refusal {
    fn from(error: ConfigurationError) -> Self {
        let hint = match &error {
            ConfigurationError::Missing { .. } => "`curfew deploy` writes it".to_owned(),
            ConfigurationError::Unread { source, .. } => format!("{source}; {}", source.hint()),
            ConfigurationError::Newer { .. } => {
                "`curfew deploy` of that release brings the function's code up to date".to_owned()
            }
            ConfigurationError::Invalid { .. } => {
                "`curfew check` finds such mistakes before they are deployed".to_owned()
            }
        };
        Self::new(
            Code::NoConfiguration,
            presentable(&error.to_string()),
            presentable(&hint),
        )
    }
}
