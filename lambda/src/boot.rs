//! From an environment to a function that works in it.

use curfew_aws::clock::Clock;
use curfew_aws::cloud::Cloud;
use curfew_aws::connect::{ConnectError, Connection, Trust};
use tracing::debug;

use crate::account_regions::Members;
use crate::app::App;
use crate::config::{Config, ConfigError, emulator_endpoint};
use crate::configuration::{Configuration, FRESH};
use crate::work_queue::WorkQueue;

/// An environment in which the function can't start.
#[derive(Debug, thiserror::Error)]
pub enum BootError {
    /// There is no way to AWS.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The stack did not tell what it should.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

/// Reads the process's environment. Makes no call: what can go wrong with AWS is answered, not died of.
pub fn open() -> Result<App, BootError> {
    let env = |key: &'static str| std::env::var(key).ok();
    let clock = Clock::system();
    let connection =
        Connection::of_function(emulator_endpoint(env), Trust::Mozilla)?.correcting(&clock);
    let cloud = Cloud::of(&connection);
    let config = Config::read(env, cloud)?;
    Ok(App {
        cloud,
        account_regions: Members::new(&connection),
        queue: config
            .work_queue
            .map(|url| WorkQueue::new(&connection, url)),
        configuration: Configuration::new(&connection, config.configuration_parameter),
        clock,
        auth: config.auth,
        cors_origin: config.cors_origin,
        request_limit: config.request_limit,
    })
}

impl App {
    /// Reads the configuration before anybody asks for them. Whether that went well, the first event finds out: it waits for the same
    /// call, or makes another.
    pub async fn warm_up(&self) {
        if let Err(error) = self.configuration.current(&self.clock, FRESH).await {
            debug!(
                error = &error as &dyn std::error::Error,
                "configuration not read ahead of the first event"
            );
        }
    }
}
