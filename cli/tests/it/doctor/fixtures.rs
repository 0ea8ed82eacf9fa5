//! A configuration, and connections to an endpoint or to a model of AWS.

use std::collections::HashMap;

use aws_sdk_ec2::config::{Credentials, SharedCredentialsProvider};
use curfew_aws::connect::{ConnectOptions, Connection};
use curfew_config::{AwsConfiguration, Configuration, LoadOptions};
use curfew_model::{Model, TimeSource, direct};
use tempfile::TempDir;

const SCHEDULES: &str = r#"
[schedules.office]
timezone = "Europe/Paris"
running = "Mon-Fri 08:00-20:00"
"#;

/// Returns a configuration with one schedule, `more`, and a state directory in `directory`.
pub(crate) fn configuration(directory: &TempDir, more: &str) -> Configuration {
    let file = directory.path().join("curfew.toml");
    let state = directory.path().join("state");
    let state = state.display();
    let text = format!("{SCHEDULES}\n{more}\n[daemon]\nstate_dir = '{state}'\n");
    std::fs::write(&file, text).unwrap();
    curfew_config::load(&LoadOptions {
        file: Some(file),
        fallback: None,
        aws: AwsConfiguration::default(),
        environment: HashMap::new(),
    })
    .unwrap()
}

/// Opens a connection with the usual configuration of the SDK.
pub(crate) async fn connect(endpoint: Option<&str>) -> Connection {
    let options = ConnectOptions {
        endpoint: endpoint.map(str::to_owned),
        region: Some("eu-west-3".to_owned()),
        ..ConnectOptions::default()
    };
    Connection::open(options).await.unwrap()
}

/// Opens a connection to a model at the endpoint of AWS.
pub(crate) async fn aws(model: &Model) -> Connection {
    let keys = Credentials::new("AKIAIOSFODNN7EXAMPLE", "test", None, None, "test");
    let mut conn = with_keys(connect(None).await, keys);
    let http = direct(model.clone(), TimeSource::Held);
    conn.sdk = conn.sdk.into_builder().http_client(http).build();
    assert_eq!(conn.endpoint(), None, "the environment names no endpoint");
    conn
}

/// Replaces the credentials of a connection.
pub(crate) fn with_keys(mut conn: Connection, keys: Credentials) -> Connection {
    let keys = SharedCredentialsProvider::new(keys);
    conn.sdk = conn.sdk.into_builder().credentials_provider(keys).build();
    conn
}
