//! From an environment to a function that works in it.

use curfew_aws::clock::Clock;
use curfew_aws::connect::{ConnectError, ConnectOptions, Connection};
use curfew_aws::fleet::Fleet;

use crate::config::{Cloud, Config, ConfigError, emulator_endpoint};
use crate::handler::App;
use crate::settings::Settings;

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
pub async fn open() -> Result<App, BootError> {
    let env = |key: &'static str| std::env::var(key).ok();
    let options = ConnectOptions {
        endpoint: emulator_endpoint(env),
        ..ConnectOptions::default()
    };
    let connection = Connection::open(options).await?;
    let config = Config::read(env, Cloud::of(&connection))?;
    Ok(App {
        fleet: Fleet::new(&connection),
        settings: Settings::new(&connection, config.settings_parameter),
        clock: Clock::system(),
        auth: config.auth,
        cors_origin: config.cors_origin,
        stack: config.stack,
    })
}
