//! `curfew completions`.

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::{Cli, CliError, Context};

pub(crate) fn completions(context: &mut Context, shell: Shell) -> Result<(), CliError> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "curfew", &mut script);
    context.output.raw(&script)
}
