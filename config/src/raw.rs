//! The configuration as it is written, before validation. The doc comments are the descriptions in the JSON schema.

use std::collections::BTreeMap;
use std::path::PathBuf;

use curfew_core::account_regions::RawAccount;
use curfew_core::configuration::{RawManaging, RawSchedule};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::notify::RawNotify;
use super::{ApiAuth, AwsConfiguration, Driver};

/// A complete configuration file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Curfew's configuration")]
pub struct RawConfiguration {
    /// How instances are assigned to schedules.
    pub managing: RawManaging,
    /// The schedules by name.
    #[serde(default)]
    pub schedules: BTreeMap<String, RawSchedule>,
    /// Other managed accounts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub account: Vec<RawAccount>,
    /// The currency of the prices: three capital letters, such as `EUR`.
    pub currency: String,
    /// The price per hour of each instance type, in `currency`, for `curfew simulate` and `curfew savings`: `"t3.micro" = 0.0118`.
    #[serde(default)]
    pub prices: BTreeMap<String, f64>,
    /// The configuration of the stack.
    pub stack: RawStack,
    /// The configuration of the HTTP API.
    pub api: RawApi,
    /// The configuration of `curfew run`.
    pub daemon: RawDaemon,
    /// The destinations of notifications.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notify: Vec<RawNotify>,
    /// The endpoint, region and profile for AWS.
    #[serde(default)]
    pub aws: AwsConfiguration,
}

/// The table `[stack]`: what `curfew deploy` creates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawStack {
    /// The CloudFormation stack's name: lower-case letters, digits and `-`.
    pub name: String,
    /// The interval of passes without any other trigger: `rate(5 minutes)` or `off`.
    pub heartbeat: String,
    /// The ARN of a permissions boundary for the Lambda's role, where the account requires one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permissions_boundary: Option<String>,
    /// The ARNs of the customer-managed KMS keys of the managed instances' volumes: without a grant on the key EC2 does not start an instance.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kms_keys: Vec<String>,
    /// The ARNs of the License Manager configurations that managed instances were launched with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub licenses: Vec<String>,
    /// The number of managed instances on AWS above which `curfew deploy` asks for confirmation.
    pub confirm_above: usize,
}

/// The table `[api]`: authentication and limits of the HTTP API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawApi {
    /// The authentication of callers.
    pub auth: ApiAuth,
    /// The SHA-256 digest of the one shared token, in hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_sha256: Option<String>,
    /// The SHA-256 digest of each user's or program's token, by the name that overrides and the journal then show.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tokens: BTreeMap<String, String>,
    /// The one other origin that may call the API (CORS): `https://status.example.com`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cors_origin: Option<String>,
    /// The maximum number of instances that a request or command without `all` may change.
    pub limit: usize,
}

/// The table `[daemon]`: where passes run, how states are observed, and how long transitions are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawDaemon {
    /// Where passes run: in the cloud or in the daemon.
    pub driver: Driver,
    /// The polling interval while instances change state: `10s`.
    pub poll: String,
    /// The polling interval while no instance changes state: `1m`.
    pub poll_quiet: String,
    /// The source of EC2's state-change events: `stack` for the deployed queue, `off`, or the URL of another queue.
    pub queue: String,
    /// How many days the journal keeps transitions.
    pub journal_days: u32,
    /// How long an edge may be late, or drift may last, before the daemon corrects it itself and reports it: `2m`.
    pub grace: String,
    /// The address on which metrics and health checks are served over HTTP: `127.0.0.1:9464`; empty to disable them.
    pub metrics: String,
    /// The folder of the journal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_dir: Option<PathBuf>,
}
