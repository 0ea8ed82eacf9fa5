//! `curfew completions`.

use clap_complete::Shell;
use clap_complete::env::Shells;

use crate::{CliError, Context, Exit};

/// The variable in which a shell requests completion. It is that of `CompleteEnv`.
const VARIABLE: &str = "COMPLETE";

/// Prints the script with which a shell asks `curfew` for candidates, so that it completes names too.
pub(crate) fn completions(context: &mut Context, shell: Shell) -> Result<(), CliError> {
    let name = shell.to_string();
    let shells = Shells::builtins();
    let failed = |reason: String| {
        CliError::new(
            Exit::Failed,
            format!("no completion for `{name}`: {reason}"),
        )
    };
    let completer = shells
        .completer(&name)
        .ok_or_else(|| failed("the shell is unknown".to_owned()))?;
    let mut script = Vec::new();
    completer
        .write_registration(VARIABLE, "curfew", "curfew", "curfew", &mut script)
        .map_err(|error| failed(error.to_string()))?;
    context.output.raw(&script)
}
