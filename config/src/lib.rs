//! The configuration: layers of raw values in, valid types out.
//!
//! Layers, later ones winning: `config/default.toml` (compiled in), the configuration file, `CURFEW__SECTION__KEY` in the
//! environment, flags. Raw structs deny unknown fields; every problem is reported, not only the first.

mod calendar;
mod daemon;
mod find;
mod holidays;
mod load;
pub mod notify;
mod raw;
#[cfg(test)]
mod schema;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use curfew_core::account_regions::Targets;
use curfew_core::configuration::RawScheduleSet;
use curfew_core::problem::Problem;
use curfew_core::schedule_set::ScheduleSet;
use curfew_core::timetable::Rate;
use curfew_core::token::Tokens;
use jiff::SignedDuration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use curfew_core::stack_name::StackName;
pub use daemon::QueueSetting;
pub use find::{DEFAULT_FILE, FoundFile, Lookup, find};
pub use load::{ConfigurationError, LoadOptions, load};
pub use notify::{Destination, NotifyConfiguration, TopicArn, WebhookUrl};
pub use raw::RawConfiguration;

use self::holidays::Holidays;

/// Everything that can be set, checked.
#[derive(Clone, Debug)]
pub struct Configuration {
    /// The file they came from, if any.
    pub file: Option<PathBuf>,
    /// The same with the machine that it is on: what is published says so.
    pub origin: String,
    /// The holiday files that they name.
    pub holiday_files: Vec<PathBuf>,
    /// What of those files is left out, with the key that names the file.
    pub warnings: Vec<Problem>,
    /// The schedules, and how instances are bound to them.
    pub schedule_set: ScheduleSet,
    /// The managed accounts and regions.
    pub targets: Targets,
    /// The same as written: the Lambda's configuration document, without its origin.
    pub document: RawScheduleSet,
    /// What an instance type costs per hour: finite, and not negative.
    pub prices: BTreeMap<String, f64>,
    /// What is deployed.
    pub stack: StackConfiguration,
    /// How the HTTP API is reached.
    pub api: ApiConfiguration,
    /// How `curfew run` works.
    pub daemon: DaemonConfiguration,
    /// Where `curfew run` tells how it is, over HTTP; nowhere, if it is not to.
    pub metrics: Option<SocketAddr>,
    /// The destinations of notifications.
    pub notify: Vec<NotifyConfiguration>,
    /// Where AWS is.
    pub aws: AwsConfiguration,
}

/// `[stack]`.
#[derive(Clone, Debug)]
pub struct StackConfiguration {
    /// The CloudFormation stack's name.
    pub name: StackName,
    /// How often a pass is made however quiet it is.
    pub heartbeat: Option<Rate>,
    /// The ARN of the policy that bounds what the Lambda's role may do.
    pub permissions_boundary: Option<String>,
    /// The ARNs of the KMS keys on which the Lambda may have EC2 granted the use.
    pub kms_keys: Vec<String>,
    /// The ARNs of the License Manager configurations with which the Lambda may start instances.
    pub licenses: Vec<String>,
    /// How many instances may be managed on AWS before `deploy` asks.
    pub confirm_above: usize,
}

/// `[api]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiConfiguration {
    /// How callers are authenticated.
    pub auth: ApiAuth,
    /// The digests of the API's tokens, by name: the tokens themselves are not in the configuration.
    pub tokens: Tokens,
    /// The one other origin allowed to call it (CORS).
    pub cors_origin: Option<String>,
    /// How many instances one request or command may change that does not say all.
    pub limit: usize,
}

/// `api.auth`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase", try_from = "String")]
#[schemars(!try_from)]
pub enum ApiAuth {
    /// `none` on a local emulator, `token` elsewhere.
    Auto,
    /// Without authentication.
    None,
    /// By a token.
    Token,
    /// By IAM.
    Iam,
}

impl TryFrom<String> for ApiAuth {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "auto" => Ok(Self::Auto),
            "none" => Ok(Self::None),
            "token" => Ok(Self::Token),
            "iam" => Ok(Self::Iam),
            _ => Err(format!(
                "found `{}`; allowed is `auto`, `none`, `token` or `iam`",
                text.escape_debug()
            )),
        }
    }
}

/// `[daemon]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DaemonConfiguration {
    /// Where passes run: in the cloud or in the daemon.
    pub driver: Driver,
    /// How often states are looked up while something is under way.
    pub poll: Duration,
    /// How often they are while it is quiet.
    pub poll_quiet: Duration,
    /// Where EC2's state changes are read.
    pub queue: QueueSetting,
    /// How long transitions are kept in the journal.
    pub retention: SignedDuration,
    /// How late the cloud may be before the daemon does it itself.
    pub grace: Duration,
    /// Where the journal is kept, unless the environment says it better.
    pub state_dir: Option<PathBuf>,
}

/// `daemon.driver`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase", try_from = "String")]
#[schemars(!try_from)]
pub enum Driver {
    /// EventBridge rules wake the Lambda; the daemon watches, and acts where the cloud did not.
    Cloud,
    /// This process makes the passes; nothing is deployed.
    Daemon,
}

impl TryFrom<String> for Driver {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "cloud" => Ok(Self::Cloud),
            "daemon" => Ok(Self::Daemon),
            _ => Err(format!(
                "found `{}`; allowed is `cloud` or `daemon`",
                text.escape_debug()
            )),
        }
    }
}

/// `[aws]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AwsConfiguration {
    /// Instead of AWS's own endpoints.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// The region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// A profile of the shared AWS files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
}

impl Configuration {
    /// The document for the Lambda, as it is published: with the file that it comes from.
    pub fn publication(&self) -> String {
        let document = RawScheduleSet {
            origin: Some(self.origin.clone()),
            ..self.document.clone()
        };
        document.to_json()
    }

    /// Logs what of the holiday files is left out.
    pub fn log_warnings(&self) {
        for warning in &self.warnings {
            let (key, message) = (&warning.key, &warning.message);
            tracing::warn!(key, message, "events of a holiday file are left out");
        }
    }

    /// Where the journal is kept: the configuration's directory, systemd's, or the user's.
    pub fn state_dir(&self) -> PathBuf {
        let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/state"));
        let user = std::env::var_os("XDG_STATE_HOME")
            .map(PathBuf::from)
            .or_else(home)
            .map(|base| base.join("curfew"));
        let systemd = std::env::var_os("STATE_DIRECTORY").map(PathBuf::from);
        self.daemon
            .state_dir
            .clone()
            .or(systemd)
            .or(user)
            .unwrap_or_else(|| PathBuf::from("."))
    }
}

/// The JSON schema of the configuration file: what `config/curfew.schema.json` holds.
pub fn schema() -> String {
    let schema = curfew_core::schema::of::<RawConfiguration>();
    serde_json::to_string_pretty(&schema).expect("a schema is plain data") + "\n"
}

fn heartbeat(text: &str) -> Result<Option<Rate>, String> {
    match text {
        "off" => Ok(None),
        rate => rate
            .parse()
            .map(Some)
            .map_err(|problem| format!("{problem}; or `off`")),
    }
}

/// Converts raw configuration, collecting every problem.
fn resolve(
    raw: RawConfiguration,
    file: Option<PathBuf>,
    directory: &Path,
    origin: String,
    holidays: Holidays,
) -> Result<Configuration, Vec<Problem>> {
    let mut problems = Vec::new();
    let document = RawScheduleSet {
        origin: None,
        managing: raw.managing,
        schedules: raw.schedules,
        account: raw.account,
    };
    let schedule_set = document
        .resolve()
        .map_err(|found| problems.extend(found))
        .ok();
    let targets = document
        .targets()
        .map_err(|found| problems.extend(found))
        .ok();
    problems.extend(raw.prices.iter().filter_map(invalid_price));
    let notify = notify::resolve(&raw.notify, directory, schedule_set.as_ref(), &mut problems);
    let mut check = |key: &str, result: Result<(), String>| {
        if let Err(message) = result {
            problems.push(Problem::new(key, message));
        }
    };
    let name = raw.stack.name.parse::<StackName>();
    check(
        "stack.name",
        name.as_ref().map(drop).map_err(ToString::to_string),
    );
    let heartbeat = heartbeat(&raw.stack.heartbeat);
    check(
        "stack.heartbeat",
        heartbeat.as_ref().map(drop).map_err(Clone::clone),
    );
    let tokens = api_tokens(&raw.api, &mut check);
    let metrics = daemon::listening(&raw.daemon.metrics);
    check(
        "daemon.metrics",
        metrics.as_ref().map(drop).map_err(Clone::clone),
    );
    if let Some(arn) = &raw.stack.permissions_boundary {
        check("stack.permissions_boundary", is_policy(arn));
    }
    for (index, arn) in raw.stack.kms_keys.iter().enumerate() {
        check(&format!("stack.kms_keys[{index}]"), is_kms_key(arn));
    }
    for (index, arn) in raw.stack.licenses.iter().enumerate() {
        check(&format!("stack.licenses[{index}]"), is_license(arn));
    }
    let daemon = daemon::resolve(raw.daemon, &mut check);
    let (
        Some(schedule_set),
        Some(targets),
        Ok(name),
        Ok(heartbeat),
        Some(daemon),
        Ok(metrics),
        true,
    ) = (
        schedule_set,
        targets,
        name,
        heartbeat,
        daemon,
        metrics,
        problems.is_empty(),
    )
    else {
        return Err(problems);
    };
    Ok(Configuration {
        file,
        origin,
        holiday_files: holidays.files,
        warnings: holidays.warnings,
        schedule_set,
        targets,
        document,
        prices: raw.prices,
        stack: StackConfiguration {
            name,
            heartbeat,
            permissions_boundary: raw.stack.permissions_boundary,
            kms_keys: raw.stack.kms_keys,
            licenses: raw.stack.licenses,
            confirm_above: raw.stack.confirm_above,
        },
        api: ApiConfiguration {
            auth: raw.api.auth,
            tokens,
            cors_origin: raw.api.cors_origin,
            limit: raw.api.limit,
        },
        daemon,
        metrics,
        notify,
        aws: raw.aws,
    })
}

/// Checks `[api]`, and returns the digests of the tokens by name.
fn api_tokens(raw: &raw::RawApi, check: &mut impl FnMut(&str, Result<(), String>)) -> Tokens {
    let mut tokens = Tokens::default();
    let shared = raw.token_sha256.as_deref();
    let shared = shared.map(|digest| ("api.token_sha256".to_owned(), Tokens::SHARED, digest));
    let named = raw.tokens.iter();
    let named =
        named.map(|(name, digest)| (format!("api.tokens.{name}"), name.as_str(), digest.as_str()));
    for (key, name, digest) in shared.into_iter().chain(named) {
        let inserted = tokens.insert(name, digest);
        check(&key, inserted.map_err(|error| error.to_string()));
    }
    if let Some(origin) = &raw.cors_origin {
        check("api.cors_origin", is_origin(origin));
    }
    if raw.limit == 0 {
        check(
            "api.limit",
            Err("`0` would refuse every request; write 1 or more".to_owned()),
        );
    }
    tokens
}

fn invalid_price((instance_type, price): (&String, &f64)) -> Option<Problem> {
    let is_price = price.is_finite() && *price >= 0.0;
    let message = format!("`{price}` is not a price per hour; write 0 or more");
    (!is_price).then(|| Problem::new(format!("prices.{instance_type}"), message))
}

/// A policy of the account or of AWS, as the template takes it.
fn is_policy(text: &str) -> Result<(), String> {
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    let is_account = |id: &str| id.len() == 12 && id.bytes().all(|byte| byte.is_ascii_digit());
    match parts.as_slice() {
        ["arn", partition, "iam", "", account, name]
            if partition.starts_with("aws")
                && (*account == "aws" || is_account(account))
                && name.len() > "policy/".len()
                && name.starts_with("policy/") =>
        {
            Ok(())
        }
        _ => Err(format!(
            "`{}` is not the ARN of a policy, such as `arn:aws:iam::111122223333:policy/bounds`",
            text.escape_debug()
        )),
    }
}

/// A KMS key, by its id: IAM's policies do not take an alias for the key that it stands for.
/// <https://docs.aws.amazon.com/kms/latest/developerguide/alias-authorization.html>
fn is_kms_key(text: &str) -> Result<(), String> {
    let example = "arn:aws:kms:eu-west-3:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
    is_regional(text, "kms", "key/").ok_or_else(|| {
        format!(
            "`{}` is not the ARN of a KMS key, such as `{example}`",
            text.escape_debug()
        )
    })
}

/// A license configuration of License Manager.
fn is_license(text: &str) -> Result<(), String> {
    let example = "arn:aws:license-manager:eu-west-3:111122223333:license-configuration:lic-0123456789abcdef0123456789abcdef";
    is_regional(text, "license-manager", "license-configuration:").ok_or_else(|| {
        format!(
            "`{}` is not the ARN of a license configuration, such as `{example}`",
            text.escape_debug()
        )
    })
}

/// Accepts an ARN with a region and an account, without wildcards, and with this prefix of its last part.
fn is_regional(text: &str, service: &str, resource: &str) -> Option<()> {
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    let ["arn", partition, found, region, account, name] = parts.as_slice() else {
        return None;
    };
    let rest = name.strip_prefix(resource)?;
    let letters = |text: &str| {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    let fits = partition.starts_with("aws")
        && letters(partition)
        && *found == service
        && letters(region)
        && account.len() == 12
        && account.bytes().all(|byte| byte.is_ascii_digit())
        && letters(rest);
    fits.then_some(())
}

/// An origin as browsers send it: one that is written otherwise would never be equal to theirs.
fn is_origin(text: &str) -> Result<(), String> {
    let host = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"));
    let letters = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.:[]".contains(c);
    match host {
        Some(host) if !host.is_empty() && host.chars().all(letters) => Ok(()),
        _ => Err(format!(
            "`{}` is not an origin such as `https://status.example.com`: a scheme, a host in lower case, perhaps a port, and no path",
            text.escape_debug()
        )),
    }
}
