//! `curfew doctor`: everything that keeps Curfew from doing its work, found by looking. Nothing is written, and nothing asked that an
//! emulator could mistake for an order.

mod deployed;
mod fleet;
mod here;
mod place;
mod ready;

use curfew_aws::clock::Clock;
use curfew_aws::connect::Connection;
use curfew_aws::identity::introduce;
use curfew_aws::organisation::Organisation;
use serde::Serialize;

use curfew_config::{Configuration, Driver};
use curfew_deploy::Survey;

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// In the order in which they depend on each other.
    pub checks: Vec<Check>,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Its name, which scripts may rely on.
    pub check: &'static str,
    /// How it is.
    pub verdict: Verdict,
    /// What was found.
    pub message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// How a thing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// Curfew works, but somebody should look.
    Warn,
    /// Curfew does not do all of its work.
    Fail,
    /// It could not be looked at, or does not matter here.
    Skip,
}

impl Verdict {
    /// As it is printed, in four letters at most.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
            Self::Skip => "skip",
        }
    }
}

impl Report {
    /// Where the configuration can't be used, nothing else can be looked at.
    pub fn of_bad_configuration(problems: &str) -> Self {
        let hint = "docs/configuration.md lists every key";
        Self {
            checks: vec![Check::fail("configuration", problems, hint)],
        }
    }

    /// How many checks ended like this.
    pub fn count(&self, verdict: Verdict) -> usize {
        let checks = self.checks.iter();
        checks.filter(|check| check.verdict == verdict).count()
    }
}

impl Check {
    fn new(check: &'static str, verdict: Verdict, message: impl Into<String>) -> Self {
        Self {
            check,
            verdict,
            message: message.into(),
            hint: None,
        }
    }

    fn ok(check: &'static str, message: impl Into<String>) -> Self {
        Self::new(check, Verdict::Ok, message)
    }

    fn warn(check: &'static str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            hint: Some(hint.into()),
            ..Self::new(check, Verdict::Warn, message)
        }
    }

    fn fail(check: &'static str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            hint: Some(hint.into()),
            ..Self::new(check, Verdict::Fail, message)
        }
    }

    fn skip(check: &'static str, message: impl Into<String>) -> Self {
        Self::new(check, Verdict::Skip, message)
    }
}

/// Looks at everything that this configuration is about.
pub async fn examine(conn: &Connection, configuration: &Configuration, clock: &Clock) -> Report {
    let introduction = introduce(conn).await;
    let mut checks = vec![
        here::configuration(configuration),
        place::endpoint(conn, &introduction),
        place::credentials(&introduction, conn.source.name()),
        place::clock(&introduction),
    ];
    let survey = Survey::of(conn, &configuration.stack.name);
    if introduction.caller.is_ok() {
        let organisation = Organisation::open(conn, &configuration.targets);
        let (instances, seen) = fleet::instances(&organisation, configuration).await;
        checks.push(instances);
        checks.push(fleet::permissions(conn, &survey, &introduction, &seen).await);
    } else {
        let unknown = |check| Check::skip(check, "not looked at: nobody let us in");
        checks.extend(["instances", "permissions"].map(unknown));
    }
    match configuration.daemon.driver {
        Driver::Daemon => checks.push(Check::skip(
            "stack",
            "none is needed: `daemon.driver` is `daemon`",
        )),
        Driver::Cloud => {
            checks.push(deployed::code(&survey).await);
            if introduction.caller.is_ok() {
                checks.extend(deployed::stack(conn, &survey, configuration, clock).await);
            } else {
                checks.push(Check::skip("stack", "not looked at: nobody let us in"));
            }
        }
    }
    checks.push(here::daemon(configuration).await);
    Report { checks }
}
