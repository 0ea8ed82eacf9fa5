//! The configuration as they are written.

use std::collections::BTreeMap;
use std::path::PathBuf;

use curfew_core::account_regions::RawAccount;
use curfew_core::configuration::{RawManaging, RawSchedule};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::notify::RawNotify;
use super::{ApiAuth, AwsConfiguration, Driver};

/// The whole file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Curfew's configuration")]
pub struct RawConfiguration {
    /// How instances are bound to schedules.
    pub managing: RawManaging,
    /// The schedules by name.
    #[serde(default)]
    pub schedules: BTreeMap<String, RawSchedule>,
    /// Other managed accounts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub account: Vec<RawAccount>,
    /// What an instance type costs per hour, in any one currency, for `curfew simulate` and `curfew savings`: `"t3.micro" = 0.0118`.
    #[serde(default)]
    pub prices: BTreeMap<String, f64>,
    /// What is deployed.
    pub stack: RawStack,
    /// How the HTTP API is reached.
    pub api: RawApi,
    /// How `curfew run` works.
    pub daemon: RawDaemon,
    /// The destinations of notifications.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notify: Vec<RawNotify>,
    /// Where AWS is.
    #[serde(default)]
    pub aws: AwsConfiguration,
}

/// `[stack]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawStack {
    /// The CloudFormation stack's name: lower-case letters, digits and `-`.
    pub name: String,
    /// `rate(5 minutes)` or `off`.
    pub heartbeat: String,
    /// The ARN of the policy that bounds what the Lambda's role may do, where the account wants one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permissions_boundary: Option<String>,
    /// The ARNs of the customer-managed KMS keys of the managed instances' volumes: EC2 starts none without a grant on its key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kms_keys: Vec<String>,
    /// The ARNs of the License Manager configurations that managed instances were launched with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub licenses: Vec<String>,
    /// How many instances `curfew deploy` lets the schedules manage on AWS without asking.
    pub confirm_above: usize,
}

/// `[api]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawApi {
    /// How callers are authenticated.
    pub auth: ApiAuth,
    /// The SHA-256 digest of the one shared token, in hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_sha256: Option<String>,
    /// The SHA-256 of each person's or program's own token, by the name that holds and the journal then show.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tokens: BTreeMap<String, String>,
    /// The one other origin allowed to call the API (CORS): `https://status.example.com`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cors_origin: Option<String>,
    /// How many instances one request or command may change that does not say all.
    pub limit: usize,
}

/// `[daemon]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawDaemon {
    /// Where passes run: in the cloud or in the daemon.
    pub driver: Driver,
    /// How often states are looked up while something is under way: `10s`.
    pub poll: String,
    /// How often they are while it is quiet: `1m`.
    pub poll_quiet: String,
    /// Where EC2's state changes are read: `stack` for the queue that is deployed, `off`, or the URL of a queue of your own.
    pub queue: String,
    /// How many days the journal keeps transitions.
    pub journal_days: u32,
    /// How late the cloud may be before the daemon does it itself: `2m`.
    pub grace: String,
    /// Where to tell how it is, over HTTP: `127.0.0.1:9464`; empty for nowhere.
    pub metrics: String,
    /// Where the journal is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_dir: Option<PathBuf>,
}
