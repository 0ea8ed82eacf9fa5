//! Builds the application state from the environment variables.

use curfew_aws::clock::Clock;
use curfew_aws::connect::{ConnectError, Connection, Trust};
use curfew_aws::endpoint_kind::EndpointKind;
use tracing::debug;

use crate::app::App;
use crate::configuration_cache::{ConfigurationCache, MAX_AGE};
use crate::environment::{Environment, EnvironmentError, emulator_endpoint};
use crate::organisation_cache::OrganisationCache;
use crate::work_queue::WorkQueue;

/// Reports why the function can't start.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// The connection to AWS can't be configured.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// An environment variable is missing or invalid.
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
}

/// Reads the process's environment. Makes no call: a failure of AWS is reported in a response instead of ending the process.
pub fn app_from_environment() -> Result<App, InitError> {
    let env = |key: &'static str| std::env::var(key).ok();
    let clock = Clock::system();
    let connection =
        Connection::of_function(emulator_endpoint(env), Trust::Mozilla)?.correcting(&clock);
    let cloud = EndpointKind::of(&connection);
    let config = Environment::read(env, cloud)?;
    Ok(App {
        cloud,
        organisations: OrganisationCache::new(&connection),
        queue: config
            .work_queue
            .map(|url| WorkQueue::new(&connection, url)),
        configuration: ConfigurationCache::new(&connection, config.configuration_parameter),
        clock,
        auth: config.auth,
        cors_origin: config.cors_origin,
        request_limit: config.request_limit,
    })
}

impl App {
    /// Reads the configuration ahead of the first event. A failure is only logged: the first event waits for this read, or reads
    /// again.
    pub async fn prefetch_configuration(&self) {
        if let Err(error) = self.configuration.current(&self.clock, MAX_AGE).await {
            debug!(
                error = &error as &dyn std::error::Error,
                "configuration prefetch failed"
            );
        }
    }
}
