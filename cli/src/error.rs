//! The edge: every error becomes a sentence, a hint and an exit code.

use std::error::Error as StdError;
use std::fmt::{self, Write as _};
use std::io::Write;
use std::process::ExitCode;

use curfew_aws::connect::ConnectError;
use curfew_aws::error::{CloudError, CloudErrorKind};
use curfew_aws::organisation::{AccountRegionError, AccountRegionFailure};
use curfew_config::ConfigurationError;
use curfew_core::select::SelectError;
use curfew_daemon::notify::OpenError;
use curfew_daemon::run::RunError;
use curfew_deploy::DeployError;
use curfew_emulator::EmulatorError;
use curfew_journal::JournalError;

use crate::printable;

/// How a command ends; the numbers are documented and stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Something failed, and was said.
    Failed = 1,
    /// The command line or the configuration is wrong.
    Usage = 2,
    /// Nothing matched.
    NothingMatched = 3,
    /// The credentials are missing or may not do this.
    NotAuthorised = 4,
    /// The cloud can't be reached.
    Unreachable = 5,
}

/// A command that did not do what was asked.
#[derive(Debug)]
pub struct CliError {
    exit: Exit,
    message: String,
    hint: Option<String>,
    source: Option<Box<dyn StdError + Send + Sync>>,
    /// What went wrong besides, each with its own hint.
    more: Vec<Self>,
}

impl CliError {
    /// An error of our own.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
            hint: None,
            source: None,
            more: Vec::new(),
        }
    }

    /// Says what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Says first what it is about.
    #[must_use]
    pub fn about(mut self, what: &str) -> Self {
        self.message = format!("{what}: {}", self.message);
        self
    }

    /// Ends the command with another exit code.
    #[must_use]
    pub fn exiting(mut self, exit: Exit) -> Self {
        self.exit = exit;
        self
    }

    /// How the command ends.
    pub fn exit(&self) -> Exit {
        self.exit
    }

    fn wrap(exit: Exit, error: impl StdError + Send + Sync + 'static) -> Self {
        Self {
            exit,
            message: error.to_string(),
            hint: None,
            source: Some(Box::new(error)),
            more: Vec::new(),
        }
    }

    /// Writes it for a person, and returns the exit code.
    pub fn report(&self, stderr: &mut impl Write) -> ExitCode {
        let mut text = self.text();
        for more in &self.more {
            text.push_str(&more.text());
        }
        // Nobody is left to tell when standard error is gone.
        let _ = stderr.write_all(printable::lines(&text).as_bytes());
        ExitCode::from(self.exit as u8)
    }

    fn text(&self) -> String {
        let mut text = format!("error: {}\n", self.message);
        let mut told = self.message.clone();
        let mut cause = self.source.as_deref().and_then(StdError::source);
        while let Some(error) = cause {
            let sentence = error.to_string();
            // Many errors repeat what they wrap; a person needs each fact once.
            if !told.contains(&sentence) && !sentence.is_empty() {
                let _ = writeln!(text, "  because: {sentence}");
                told.push_str(&sentence);
            }
            cause = error.source();
        }
        if let Some(hint) = &self.hint {
            let _ = writeln!(text, "  hint: {hint}");
        }
        text
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<ConfigurationError> for CliError {
    fn from(error: ConfigurationError) -> Self {
        let hint = error.hint();
        Self::wrap(Exit::Usage, error).hint(hint)
    }
}

impl From<CloudError> for CliError {
    fn from(error: CloudError) -> Self {
        // The SDK's own chain says the same again in more words.
        Self {
            exit: exit_of(error.kind),
            message: error.to_string(),
            hint: Some(error.hint().to_owned()),
            source: None,
            more: Vec::new(),
        }
    }
}

impl From<AccountRegionError> for CliError {
    fn from(error: AccountRegionError) -> Self {
        Self {
            exit: match &error.failure {
                AccountRegionFailure::Cloud(error) => exit_of(error.kind),
                AccountRegionFailure::OutOfTime => Exit::Failed,
                AccountRegionFailure::NoAnswer { .. } => Exit::Unreachable,
            },
            message: error.to_string(),
            hint: Some(error.hint()),
            source: None,
            more: Vec::new(),
        }
    }
}

/// What is said of accounts and regions that did not answer, once the others' results are printed: each with its own hint. Where all
/// failed in one way, so does the command.
pub(crate) fn all_answered(failures: Vec<AccountRegionError>) -> Result<(), CliError> {
    let mut errors = failures.into_iter().map(CliError::from);
    let Some(mut first) = errors.next() else {
        return Ok(());
    };
    first.more = errors.collect();
    if first.more.iter().any(|more| more.exit != first.exit) {
        first.exit = Exit::Failed;
    }
    Err(first)
}

/// What an error of a selection means when these account-regions did not answer: nothing is "not found" while it may be there.
pub(crate) fn selecting(error: SelectError, failures: Vec<AccountRegionError>) -> CliError {
    if !error.claims_absence() {
        return error.into();
    }
    let what = format!("{error}, as far as accounts and regions answered");
    match all_answered(failures) {
        Ok(()) => error.into(),
        Err(unanswered) => unanswered.about(&what),
    }
}

fn exit_of(kind: CloudErrorKind) -> Exit {
    match kind {
        CloudErrorKind::Unreachable => Exit::Unreachable,
        CloudErrorKind::Credentials
        | CloudErrorKind::Expired
        | CloudErrorKind::Denied
        | CloudErrorKind::Account => Exit::NotAuthorised,
        _ => Exit::Failed,
    }
}

impl From<ConnectError> for CliError {
    fn from(error: ConnectError) -> Self {
        Self::wrap(Exit::Usage, error)
    }
}

impl From<OpenError> for CliError {
    fn from(error: OpenError) -> Self {
        Self::wrap(Exit::Usage, error)
    }
}

impl From<DeployError> for CliError {
    fn from(error: DeployError) -> Self {
        match error {
            DeployError::Cloud(error) => error.into(),
            DeployError::NotDeployed { .. } => {
                Self::wrap(Exit::NothingMatched, error).hint("`curfew deploy` deploys it")
            }
            error => {
                let hint = error.hint();
                Self::wrap(Exit::Failed, error).hint(hint)
            }
        }
    }
}

impl From<EmulatorError> for CliError {
    fn from(error: EmulatorError) -> Self {
        let hint = error.hint();
        Self::wrap(Exit::Failed, error).hint(hint)
    }
}

impl From<JournalError> for CliError {
    fn from(error: JournalError) -> Self {
        let exit = if matches!(error, JournalError::Missing { .. }) {
            Exit::NothingMatched
        } else {
            Exit::Failed
        };
        let hint = error.hint();
        let wrapped = Self::wrap(exit, error);
        match hint {
            Some(hint) => wrapped.hint(hint),
            None => wrapped,
        }
    }
}

impl From<RunError> for CliError {
    fn from(error: RunError) -> Self {
        Self::wrap(Exit::Failed, error)
    }
}
