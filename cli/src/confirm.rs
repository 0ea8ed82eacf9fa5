//! The confirmation of changes: one question on a terminal, or `--yes`. Without either, the command exits with 2 and changes nothing.

use std::io::{self, BufRead as _, BufReader, IsTerminal, Read, Stderr, Stdin, Write};

use clap::Args;
use curfew_core::error_code::ErrorCode;

use crate::printable;
use crate::{CliError, Exit};

/// The number of instances that `start`, `stop` and `resume` change without a confirmation. With one, a confirmation would only repeat
/// what the user has just typed; with more, a wildcard or a schedule may have matched more than was meant.
pub(crate) const MAX_UNCONFIRMED: usize = 1;

/// The option of every command that asks for confirmation.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct ConfirmArgs {
    /// Skip the confirmation prompt; required if standard input is not a terminal
    #[arg(long, short)]
    yes: bool,
}

impl ConfirmArgs {
    pub(crate) fn confirmation(self) -> Confirmation {
        if self.yes {
            Confirmation::Assumed
        } else {
            Confirmation::Ask
        }
    }
}

/// Whether to prompt for confirmation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Confirmation {
    /// Prompt if the change needs confirmation.
    Ask,
    /// Continue without a prompt (`--yes`).
    Assumed,
}

/// A change that needs confirmation.
#[derive(Clone, Debug)]
pub(crate) struct UnconfirmedChange<'a> {
    /// What the command would do: `stop 3 instances`.
    pub(crate) action: &'a str,
    /// Why it needs confirmation, if the action does not say it.
    pub(crate) reason: Option<&'a str>,
    /// The question: `Stop 3 instances?`
    pub(crate) question: &'a str,
    /// The result of any other answer than yes: `nothing was stopped`.
    pub(crate) declined: &'a str,
    /// What to do without a terminal.
    pub(crate) hint: &'a str,
}

impl Confirmation {
    /// Asks for confirmation on a terminal. Fails if the answer is not yes, or if there is no terminal.
    pub(crate) fn require(
        self,
        change: &UnconfirmedChange<'_>,
        prompt: &mut Prompt<impl Read + IsTerminal, impl Write>,
    ) -> Result<(), CliError> {
        self.check_possible(change, prompt)?;
        if self == Self::Assumed || prompt.confirm(&format!("{} [y/N] ", change.question)) {
            return Ok(());
        }
        let message = format!("{}: not confirmed", change.declined);
        Err(CliError::new(Exit::Failed, message))
    }

    /// Fails if the change can't be confirmed, because there is no terminal. Commands with slow work before the question call this first.
    pub(crate) fn check_possible(
        self,
        change: &UnconfirmedChange<'_>,
        prompt: &Prompt<impl Read + IsTerminal, impl Write>,
    ) -> Result<(), CliError> {
        if self == Self::Assumed || prompt.is_interactive() {
            return Ok(());
        }
        let reason = change.reason.map(|reason| format!("{reason}, and "));
        let message = format!(
            "refusing to {} without confirmation: {}standard input is not a terminal",
            change.action,
            reason.unwrap_or_default()
        );
        Err(CliError::new(Exit::Usage, message)
            .hint(change.hint)
            .coded(ErrorCode::ConfirmationRequired))
    }
}

/// Writes questions to one stream and reads answers from another.
pub(crate) struct Prompt<A, Q> {
    answers: A,
    questions: Q,
}

impl Prompt<Stdin, Stderr> {
    /// Prompts on standard error, because standard output is for results.
    pub(crate) fn stdio() -> Self {
        Self::new(io::stdin(), io::stderr())
    }
}

impl<A: Read + IsTerminal, Q: Write> Prompt<A, Q> {
    pub(crate) fn new(answers: A, questions: Q) -> Self {
        Self { answers, questions }
    }

    /// Returns whether answers come from a terminal.
    fn is_interactive(&self) -> bool {
        self.answers.is_terminal()
    }

    /// Returns the value that was given by a flag. Otherwise asks for it on a terminal, again until the answer is valid; an empty answer
    /// is the default, which is also returned without a terminal.
    pub(crate) fn answer<T>(
        &mut self,
        given: Option<T>,
        question: &str,
        default: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<T, CliError> {
        let invalid = |reason: String| CliError::new(Exit::Usage, reason);
        if let Some(given) = given {
            return Ok(given);
        }
        if !self.is_interactive() {
            return parse(default).map_err(invalid);
        }
        let hint = if default.is_empty() { "none" } else { default };
        loop {
            let answer = self.ask(&format!("{question} [{hint}]: "));
            let answer = answer.ok_or_else(|| {
                CliError::new(Exit::Failed, "nothing was written: the input has ended")
            })?;
            let text = match answer.trim() {
                "" => default,
                text => text,
            };
            match parse(text) {
                Ok(value) => return Ok(value),
                Err(reason) => {
                    // The next question shows whether the terminal is gone.
                    let _gone = writeln!(self.questions, "{}", printable::lines(&reason));
                }
            }
        }
    }

    /// Asks a question. Any answer except `y`, `Y` or `yes` means no.
    fn confirm(&mut self, question: &str) -> bool {
        let answer = self.ask(question);
        answer.is_some_and(|answer| matches!(answer.trim(), "y" | "Y" | "yes"))
    }

    /// Returns one line, or `None` at the end of the input.
    fn ask(&mut self, question: &str) -> Option<String> {
        let mut answer = String::new();
        let question = printable::lines(question);
        self.questions.write_all(question.as_bytes()).ok()?;
        self.questions.flush().ok()?;
        let read = BufReader::new(&mut self.answers).read_line(&mut answer);
        read.is_ok_and(|length| length > 0).then_some(answer)
    }
}
