//! `curfew man`: the manual pages, for packages.

use std::path::Path;

use clap::CommandFactory as _;

use crate::{Cli, CliError, Exit};

/// One page for the program and one for each command, as packages want them.
pub(crate) fn man(directory: &Path) -> Result<(), CliError> {
    let command = Cli::command();
    clap_mangen::generate_to(command, directory).map_err(|error| {
        let message = format!(
            "manual pages can't be written into `{}`: {error}",
            directory.display()
        );
        CliError::new(Exit::Failed, message)
    })
}
