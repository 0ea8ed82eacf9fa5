//! The configuration: layers of raw values in, valid types out.
//!
//! The layers, of which later ones take precedence: `config/default.toml` (compiled in), the configuration file,
//! `CURFEW__SECTION__KEY` in the environment, flags. Raw structs deny unknown fields; every problem is reported, not only the first.

mod calendar;
mod daemon;
mod diagnostic;
mod find;
mod holidays;
mod load;
pub mod notify;
mod raw;
mod read;
#[cfg(test)]
mod schema;
mod source;
mod strict;

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
pub use diagnostic::{Diagnostic, Place, Position};
pub use find::{DEFAULT_FILE, FoundFile, Lookup, find};
pub use load::{CheckReport, ConfigurationError, LoadOptions, check, load};
pub use notify::{Destination, NotifyConfiguration, TopicArn, WebhookUrl};
pub use raw::RawConfiguration;

use self::holidays::Holidays;

/// The complete configuration, with valid values.
#[derive(Clone, Debug)]
pub struct Configuration {
    /// The configuration file, if any.
    pub file: Option<PathBuf>,
    /// The machine and the configuration file, which a published document contains.
    pub origin: String,
    /// The holiday files that the configuration names.
    pub holiday_files: Vec<PathBuf>,
    /// Warnings about events of holiday files that are left out, with the key that names the file.
    pub warnings: Vec<Problem>,
    /// The schedules, and the tag that assigns instances to them.
    pub schedule_set: ScheduleSet,
    /// The managed accounts and regions.
    pub targets: Targets,
    /// The schedules and targets as written: the Lambda's configuration document, without its origin.
    pub document: RawScheduleSet,
    /// The currency of the prices, such as `USD`.
    pub currency: String,
    /// The price per hour of each instance type: finite, and not negative.
    pub prices: BTreeMap<String, f64>,
    /// The configuration of the stack.
    pub stack: StackConfiguration,
    /// The configuration of the HTTP API.
    pub api: ApiConfiguration,
    /// The configuration of `curfew run`.
    pub daemon: DaemonConfiguration,
    /// The address on which `curfew run` serves metrics and health checks over HTTP; `None` if it does not.
    pub metrics: Option<SocketAddr>,
    /// The destinations of notifications.
    pub notify: Vec<NotifyConfiguration>,
    /// The endpoint, region and profile for AWS.
    pub aws: AwsConfiguration,
}

/// The table `[stack]`: what `curfew deploy` creates.
#[derive(Clone, Debug)]
pub struct StackConfiguration {
    /// The CloudFormation stack's name.
    pub name: StackName,
    /// The interval of passes without any other trigger; `None` if there is no heartbeat rule.
    pub heartbeat: Option<Rate>,
    /// The ARN of the permissions boundary of the Lambda's role.
    pub permissions_boundary: Option<String>,
    /// The ARNs of the KMS keys on which the Lambda may create grants for EC2.
    pub kms_keys: Vec<String>,
    /// The ARNs of the License Manager configurations with which the Lambda may start instances.
    pub licenses: Vec<String>,
    /// The number of managed instances on AWS above which `curfew deploy` asks for confirmation.
    pub confirm_above: usize,
}

/// The table `[api]`: authentication and limits of the HTTP API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiConfiguration {
    /// The authentication of callers.
    pub auth: ApiAuth,
    /// The digests of the API's tokens, by name; the tokens themselves are not in the configuration.
    pub tokens: Tokens,
    /// The one other origin that may call the API (CORS).
    pub cors_origin: Option<String>,
    /// The maximum number of instances that a request or command without `all` may change.
    pub limit: usize,
}

/// The authentication of the HTTP API, `api.auth`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ApiAuth {
    /// `none` on a local emulator, `token` elsewhere.
    Auto,
    /// Every caller is accepted.
    None,
    /// Callers send a bearer token.
    Token,
    /// Callers sign their requests with IAM credentials.
    Iam,
}

/// The table `[daemon]`: where passes run, how states are observed, and how long transitions are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DaemonConfiguration {
    /// Where passes run: in the cloud or in the daemon.
    pub driver: Driver,
    /// The polling interval while instances change state.
    pub poll: Duration,
    /// The polling interval while no instance changes state.
    pub poll_quiet: Duration,
    /// The source of EC2's state-change events.
    pub queue: QueueSetting,
    /// How long the journal keeps transitions.
    pub retention: SignedDuration,
    /// How long an edge may be late, or drift may last, before the daemon corrects it itself and reports it.
    pub grace: Duration,
    /// The folder of the journal; see [`Configuration::state_dir`] for the default.
    pub state_dir: Option<PathBuf>,
}

/// The place where passes run, `daemon.driver`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Driver {
    /// EventBridge rules trigger the Lambda; the daemon audits it, and acts on edges that the Lambda missed.
    Cloud,
    /// The daemon runs all passes; nothing is deployed.
    Daemon,
}

/// The table `[aws]`: the endpoint, region and profile with which AWS is called.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AwsConfiguration {
    /// The URL of an emulator, instead of AWS's endpoints.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// The region in which Curfew runs: `eu-west-3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The name of a profile in the shared AWS configuration files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
}

impl Configuration {
    /// Returns the Lambda's configuration document as it is published, with its origin.
    pub fn publication(&self) -> String {
        let document = RawScheduleSet {
            origin: Some(self.origin.clone()),
            ..self.document.clone()
        };
        document.to_json()
    }

    /// Logs a warning for each holiday file with events that are left out.
    pub fn log_warnings(&self) {
        for warning in &self.warnings {
            let (key, message) = (&warning.key, &warning.message);
            tracing::warn!(key, message, "events of a holiday file are left out");
        }
    }

    /// Returns the folder of the journal: `daemon.state_dir`, else systemd's `STATE_DIRECTORY`, else the user's state folder.
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

/// Returns the JSON schema of the configuration file, which is also in `config/curfew.schema.json`.
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

/// Converts the raw configuration. Fails with all problems, not only the first.
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
    problems.extend(invalid_currency(&raw.currency));
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
        check("stack.permissions_boundary", check_policy(arn));
    }
    for (index, arn) in raw.stack.kms_keys.iter().enumerate() {
        check(&format!("stack.kms_keys[{index}]"), check_kms_key(arn));
    }
    for (index, arn) in raw.stack.licenses.iter().enumerate() {
        check(&format!("stack.licenses[{index}]"), check_license(arn));
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
        currency: raw.currency,
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

/// Checks `[api]`, passes every problem to `check`, and returns the digests of the tokens by name.
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
        check("api.cors_origin", check_origin(origin));
    }
    if raw.limit == 0 {
        check(
            "api.limit",
            Err("`0` would refuse every request; write 1 or more".to_owned()),
        );
    }
    tokens
}

fn invalid_currency(currency: &str) -> Option<Problem> {
    let is_code = currency.len() == 3 && currency.bytes().all(|byte| byte.is_ascii_uppercase());
    let message = format!(
        "`{}` is not a currency; write three capital letters, such as `EUR`",
        currency.escape_debug()
    );
    (!is_code).then(|| Problem::new("currency", message))
}

fn invalid_price((instance_type, price): (&String, &f64)) -> Option<Problem> {
    let is_price = price.is_finite() && *price >= 0.0;
    let message = format!("`{price}` is not a price per hour; write 0 or more");
    (!is_price).then(|| Problem::new(format!("prices.{instance_type}"), message))
}

/// Checks that a text is the ARN of a managed policy, of an account or of AWS.
fn check_policy(text: &str) -> Result<(), String> {
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

/// Checks that a text is the ARN of a KMS key. An alias is not accepted, since an IAM policy does not resolve it to its key.
/// <https://docs.aws.amazon.com/kms/latest/developerguide/alias-authorization.html>
fn check_kms_key(text: &str) -> Result<(), String> {
    let example = "arn:aws:kms:eu-west-3:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
    if is_regional_arn(text, "kms", "key/") {
        return Ok(());
    }
    Err(format!(
        "`{}` is not the ARN of a KMS key, such as `{example}`",
        text.escape_debug()
    ))
}

/// Checks that a text is the ARN of a license configuration of License Manager.
fn check_license(text: &str) -> Result<(), String> {
    let example = "arn:aws:license-manager:eu-west-3:111122223333:license-configuration:lic-0123456789abcdef0123456789abcdef";
    if is_regional_arn(text, "license-manager", "license-configuration:") {
        return Ok(());
    }
    Err(format!(
        "`{}` is not the ARN of a license configuration, such as `{example}`",
        text.escape_debug()
    ))
}

/// Whether a text is the ARN of `service` with a region and an account, without wildcards, whose last part begins with `resource`.
fn is_regional_arn(text: &str, service: &str, resource: &str) -> bool {
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    let ["arn", partition, found, region, account, name] = parts.as_slice() else {
        return false;
    };
    let is_word = |text: &str| {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    partition.starts_with("aws")
        && is_word(partition)
        && *found == service
        && is_word(region)
        && account.len() == 12
        && account.bytes().all(|byte| byte.is_ascii_digit())
        && name.strip_prefix(resource).is_some_and(is_word)
}

/// Checks that a text is an origin in the form that browsers send, since origins are compared as text.
fn check_origin(text: &str) -> Result<(), String> {
    let host = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"));
    let is_host_character =
        |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.:[]".contains(c);
    match host {
        Some(host) if !host.is_empty() && host.chars().all(is_host_character) => Ok(()),
        _ => Err(format!(
            "`{}` is not an origin such as `https://status.example.com`: a scheme, a host in lower case, perhaps a port, and no path",
            text.escape_debug()
        )),
    }
}
