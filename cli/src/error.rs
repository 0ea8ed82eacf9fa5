//! Converts every error into a message, a hint and an exit code.

use std::error::Error as StdError;
use std::fmt;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use curfew_aws::connect::ConnectError;
use curfew_aws::error::{CloudError, CloudErrorKind, sources};
use curfew_aws::organisation::{AccountRegionError, AccountRegionFailure};
use curfew_config::ConfigurationError;
use curfew_core::error_code::{DescribedError, ErrorCode};
use curfew_core::select::SelectError;
use curfew_core::time_expression::MalformedTime;
use curfew_daemon::notify::OpenError;
use curfew_daemon::run::RunError;
use curfew_deploy::DeployError;
use curfew_emulator::EmulatorError;
use curfew_journal::JournalError;
use serde::Serialize;

use crate::format::Format;
use crate::output_target::OutputTarget;
use crate::view::View;

/// The exit codes of failed commands. The numbers are documented and stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// An error occurred.
    Failed = 1,
    /// The command line or the configuration is invalid.
    Usage = 2,
    /// The selection matched nothing.
    NothingMatched = 3,
    /// The credentials are missing or lack permission.
    NotAuthorised = 4,
    /// The endpoint cannot be reached.
    Unreachable = 5,
}

impl Exit {
    /// The code of an error that has none of its own.
    fn code(self) -> ErrorCode {
        match self {
            Self::Failed => ErrorCode::Failed,
            Self::Usage => ErrorCode::BadParameter,
            Self::NothingMatched => ErrorCode::NothingMatched,
            Self::NotAuthorised => ErrorCode::Denied,
            Self::Unreachable => ErrorCode::Unreachable,
        }
    }
}

/// What a command that fails prints to standard error.
#[derive(Serialize, schemars::JsonSchema)]
pub(crate) struct ErrorDocument {
    /// What failed, and how to resolve it.
    error: DescribedError,
    /// Further errors, such as those of other accounts and regions; only if there are any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default)]
    more: Vec<DescribedError>,
}

/// The error that a command returns.
#[derive(Debug)]
pub struct CliError {
    exit: Exit,
    code: ErrorCode,
    message: String,
    hint: Option<String>,
    source: Option<Box<dyn StdError + Send + Sync>>,
    /// Further errors, each with its own hint.
    more: Vec<Self>,
    /// The configuration file, if the user did not name it.
    configuration: Option<PathBuf>,
}

impl CliError {
    /// Creates an error without a source.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            code: exit.code(),
            message: message.into(),
            hint: None,
            source: None,
            more: Vec::new(),
            configuration: None,
        }
    }

    /// Adds a hint about how to fix the error.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Replaces the code, by which scripts tell errors apart.
    #[must_use]
    pub(crate) fn coded(mut self, code: ErrorCode) -> Self {
        self.code = code;
        self
    }

    /// Prefixes the message with its subject.
    #[must_use]
    pub fn about(mut self, what: &str) -> Self {
        self.message = format!("{what}: {}", self.message);
        self
    }

    /// Appends to the message.
    #[must_use]
    pub fn followed_by(mut self, text: &str) -> Self {
        self.message.push_str(text);
        self
    }

    /// Adds to the message where something was not found.
    #[must_use]
    pub fn within(mut self, place: &str) -> Self {
        self.message = format!("{} in {place}", self.message);
        self
    }

    /// Names the configuration file that the command used, if the user did not name it.
    #[must_use]
    pub(crate) fn with_configuration(mut self, file: Option<PathBuf>) -> Self {
        // Errors of the file itself name it already.
        self.configuration =
            file.filter(|path| !self.message.contains(&path.display().to_string()));
        self
    }

    /// Replaces the exit code.
    #[must_use]
    pub fn exiting(mut self, exit: Exit) -> Self {
        self.exit = exit;
        self
    }

    /// Returns the exit code.
    pub fn exit(&self) -> Exit {
        self.exit
    }

    /// Returns how to resolve the error.
    pub(crate) fn remedy(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    fn wrap(exit: Exit, error: impl StdError + Send + Sync + 'static) -> Self {
        let message = error.to_string();
        Self {
            source: Some(Box::new(error)),
            ..Self::new(exit, message)
        }
    }

    /// Writes the error to `stderr`, as text or as one JSON document, and returns the exit code.
    pub fn report(&self, format: Format, stderr: &mut impl Write) -> ExitCode {
        let text = match format {
            Format::Json | Format::Jsonl => {
                let document = ErrorDocument {
                    error: self.described(),
                    more: self.more.iter().map(Self::described).collect(),
                };
                let json = serde_json::to_string(&document).expect("an error is plain data");
                json + "\n"
            }
            Format::Table | Format::Wide | Format::Csv => {
                let mut view = View::default();
                for error in std::iter::once(self).chain(&self.more) {
                    error.show(&mut view);
                }
                view.render(OutputTarget::stderr())
            }
        };
        // A closed standard error leaves no place to report to.
        let _ = stderr.write_all(text.as_bytes());
        ExitCode::from(self.exit as u8)
    }

    fn described(&self) -> DescribedError {
        let causes = self.causes();
        let message = causes
            .into_iter()
            .fold(self.message.clone(), |text, cause| {
                format!("{text}: {cause}")
            });
        DescribedError {
            code: self.code,
            message,
            hint: self.hint.clone(),
        }
    }

    /// Returns the messages of the sources, without those that an earlier message repeats.
    fn causes(&self) -> Vec<String> {
        let mut printed = self.message.clone();
        let mut causes = Vec::new();
        let source = self.source.as_deref().into_iter();
        for error in source.flat_map(|source| sources(source)) {
            let sentence = error.to_string();
            // Many errors repeat the message of their source; print each message once.
            if !printed.contains(&sentence) && !sentence.is_empty() {
                printed.push_str(&sentence);
                causes.push(sentence);
            }
        }
        causes
    }

    fn show(&self, view: &mut View) {
        match self.message.split_once('\n') {
            None => view.item("error: ", &self.message),
            // The lines of an invalid configuration, with carets; the hint stands apart from the last one.
            Some((first, rest)) => view.item("error: ", first).with_source(rest).gap(),
        };
        for cause in self.causes() {
            view.item("  because: ", cause);
        }
        if let Some(hint) = &self.hint {
            view.item("  hint: ", hint);
        }
        if let Some(file) = &self.configuration {
            view.item("  configuration: ", file.display().to_string());
        }
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// Converts an error of clap, whose message has several paragraphs: the error, sometimes a tip, and the usage.
impl From<&clap::Error> for CliError {
    fn from(error: &clap::Error) -> Self {
        let text = error.to_string();
        let mut paragraphs = text.split("\n\n").map(str::trim);
        let message = paragraphs.next().unwrap_or_default();
        let message = message.strip_prefix("error: ").unwrap_or(message);
        let message: Vec<&str> = message.split_whitespace().collect();
        let tip = paragraphs.find_map(|paragraph| paragraph.strip_prefix("tip: "));
        let hint = tip.unwrap_or("`curfew COMMAND --help` lists the options of a command");
        let described = Self::new(Exit::Usage, message.join(" ")).hint(hint);
        let source = error.source();
        if source.is_some_and(<dyn StdError>::is::<MalformedTime>) {
            described.coded(ErrorCode::BadTime)
        } else {
            described
        }
    }
}

impl From<ConfigurationError> for CliError {
    fn from(error: ConfigurationError) -> Self {
        let hint = error.hint();
        let message = error.report();
        let wrapped = Self::wrap(Exit::Usage, error).hint(hint);
        let wrapped = wrapped.coded(ErrorCode::InvalidConfiguration);
        Self { message, ..wrapped }
    }
}

impl From<CloudError> for CliError {
    fn from(error: CloudError) -> Self {
        // The source chain of the SDK repeats the message.
        let described = Self::new(exit_of(error.kind), error.to_string()).hint(error.hint());
        described.coded(error.kind.into())
    }
}

impl From<AccountRegionError> for CliError {
    fn from(error: AccountRegionError) -> Self {
        let exit = match &error.failure {
            AccountRegionFailure::Cloud(error) => exit_of(error.kind),
            AccountRegionFailure::OutOfTime => Exit::Failed,
            AccountRegionFailure::NoAnswer { .. } => Exit::Unreachable,
        };
        let described = Self::new(exit, error.to_string()).hint(error.hint());
        described.coded(error.code())
    }
}

/// Fails if any account or region failed; to be called after the other results are printed. The exit code is the one that all
/// failures have in common, otherwise [`Exit::Failed`].
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

/// Converts a selection error when some account-regions failed. An instance is not reported as missing if it may be in one of those.
pub(crate) fn selecting(error: SelectError, failures: Vec<AccountRegionError>) -> CliError {
    if !error.claims_absence() {
        return error.into();
    }
    let what = format!("{error}, in the accounts and regions that answered");
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
                let wrapped = Self::wrap(Exit::NothingMatched, error);
                wrapped
                    .hint("run `curfew deploy`")
                    .coded(ErrorCode::NotDeployed)
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
        let (exit, code) = match error {
            JournalError::Missing { .. } => (Exit::NothingMatched, ErrorCode::NoJournal),
            _ => (Exit::Failed, ErrorCode::Failed),
        };
        let hint = error.hint();
        let wrapped = Self::wrap(exit, error).coded(code);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn reported(error: &CliError, format: Format) -> String {
        let mut stderr = Vec::new();
        error.report(format, &mut stderr);
        String::from_utf8(stderr).unwrap()
    }

    #[test]
    fn an_error_is_text_or_one_line_of_json() {
        let unreadable = ConfigurationError::Unreadable {
            path: "curfew.toml".into(),
            source: std::io::Error::other("input/output error"),
        };
        let mut error = CliError::from(unreadable).hint("check the disk");
        error.more = vec![CliError::new(
            Exit::Unreachable,
            "no answer from \u{1b}[31meu-west-3",
        )];
        insta::assert_snapshot!(reported(&error, Format::Table), @r"
        error: the configuration file `curfew.toml` can't be read
          because: input/output error
          hint: check the disk
        error: no answer from \u{1b}[31meu-west-3
        ");
        insta::assert_snapshot!(reported(&error, Format::Json), @r#"{"error":{"code":"invalid_configuration","message":"the configuration file `curfew.toml` can't be read: input/output error","hint":"check the disk"},"more":[{"code":"unreachable","message":"no answer from \u001b[31meu-west-3","hint":null}]}"#);
    }

    #[test]
    fn the_configuration_file_is_named_once() {
        let file = || Some(PathBuf::from("/home/alice/curfew.toml"));
        let error = CliError::new(Exit::NothingMatched, "there is no schedule `ofice`");
        insta::assert_snapshot!(reported(&error.with_configuration(file()), Format::Table), @"
        error: there is no schedule `ofice`
          configuration: /home/alice/curfew.toml
        ");
        let error = CliError::new(Exit::Usage, "`/home/alice/curfew.toml` is not TOML");
        insta::assert_snapshot!(reported(&error.with_configuration(file()), Format::Table), @"error: `/home/alice/curfew.toml` is not TOML");
    }
}
