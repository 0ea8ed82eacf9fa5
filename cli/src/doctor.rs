//! The checks of `curfew doctor`. They change nothing, and make no call that an emulator would carry out.

mod deployed;
mod endpoint;
mod fleet;
mod local;
mod readiness;
mod tags;

use curfew_aws::caller_identity::caller_identity;
use curfew_aws::clock::Clock;
use curfew_aws::connect::Connection;
use curfew_aws::organisation::Organisation;
use schemars::JsonSchema;
use serde::Serialize;

use curfew_config::{Configuration, Driver};
use curfew_deploy::DeployedState;

use self::tags::AwsOptions;
pub use self::tags::{MistaggedGroup, MistaggedInstance};

/// The results of all checks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct DoctorReport {
    /// The checks: first that of the tags if it found mistakes, then each after those that it depends on.
    pub checks: Vec<Check>,
}

/// The result of one check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Check {
    /// The name of the check, which is stable for scripts.
    pub check: &'static str,
    /// Whether the check passed.
    #[serde(rename = "result")]
    pub verdict: CheckVerdict,
    /// A sentence that describes the result.
    pub message: String,
    /// How to fix the problem; null if there is none.
    pub hint: Option<String>,
    /// The mistakes in tags; of the check `tags` only.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default)]
    pub mistagged: Vec<MistaggedGroup>,
}

/// The outcome of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CheckVerdict {
    /// The check passed.
    Ok,
    /// Curfew works, but the result needs attention.
    Warn,
    /// Curfew does not work completely.
    Fail,
    /// The check could not run or does not apply.
    Skip,
}

impl CheckVerdict {
    /// Returns the printed form, at most four letters long.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
            Self::Skip => "skip",
        }
    }
}

impl DoctorReport {
    /// Creates the report for an invalid configuration, without which no other check can run.
    pub fn of_bad_configuration(problems: &str, hint: Option<&str>) -> Self {
        let check = Check::new("configuration", CheckVerdict::Fail, problems);
        let hint = hint.map(str::to_owned);
        Self {
            checks: vec![Check { hint, ..check }],
        }
    }

    /// Returns the number of checks with this outcome.
    pub fn count(&self, verdict: CheckVerdict) -> usize {
        let checks = self.checks.iter();
        checks.filter(|check| check.verdict == verdict).count()
    }
}

impl Check {
    fn new(check: &'static str, verdict: CheckVerdict, message: impl Into<String>) -> Self {
        Self {
            check,
            verdict,
            message: message.into(),
            hint: None,
            mistagged: Vec::new(),
        }
    }

    fn ok(check: &'static str, message: impl Into<String>) -> Self {
        Self::new(check, CheckVerdict::Ok, message)
    }

    fn warn(check: &'static str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            hint: Some(hint.into()),
            ..Self::new(check, CheckVerdict::Warn, message)
        }
    }

    fn fail(check: &'static str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            hint: Some(hint.into()),
            ..Self::new(check, CheckVerdict::Fail, message)
        }
    }

    fn skip(check: &'static str, message: impl Into<String>) -> Self {
        Self::new(check, CheckVerdict::Skip, message)
    }
}

/// Runs all checks that apply to the configuration.
pub async fn run_checks(
    conn: &Connection,
    configuration: &Configuration,
    clock: &Clock,
) -> DoctorReport {
    let identity = caller_identity(conn).await;
    let mut checks = vec![
        local::configuration(configuration),
        endpoint::endpoint(conn, &identity),
        endpoint::credentials(&identity, conn.source.name()),
        endpoint::clock(&identity),
    ];
    let deployed = DeployedState::of(conn, &configuration.stack.name);
    if identity.caller.is_ok() {
        let organisation = Organisation::open(conn, &configuration.targets);
        let (instances, seen) = fleet::instances(&organisation, configuration).await;
        checks.push(instances);
        let aws = AwsOptions::of(conn, configuration.aws.profile.as_deref());
        let tags = tags::tags(&seen, &configuration.schedule_set, &aws);
        // What a person most likely wants to mend stands first.
        let place = if tags.verdict == CheckVerdict::Ok {
            checks.len()
        } else {
            0
        };
        checks.insert(place, tags);
        let schedule_set = &configuration.schedule_set;
        checks.push(fleet::permissions(conn, &deployed, &identity, &seen, schedule_set).await);
    } else {
        let unknown = |check| Check::skip(check, "not checked: no valid credentials");
        checks.extend(["instances", "tags", "permissions"].map(unknown));
    }
    match configuration.daemon.driver {
        Driver::Daemon => checks.push(Check::skip(
            "stack",
            "not needed: `daemon.driver` is `daemon`",
        )),
        Driver::Cloud => {
            checks.push(deployed::code(&deployed).await);
            if identity.caller.is_ok() {
                checks.extend(deployed::stack(conn, &deployed, configuration, clock).await);
            } else {
                checks.push(Check::skip("stack", "not checked: no valid credentials"));
            }
        }
    }
    checks.push(local::daemon(configuration).await);
    DoctorReport { checks }
}
