//! `curfew man`: writes the man pages for packages.

use std::path::Path;

use crate::{CliError, Exit, help};

/// Writes one page for the program and one for each command.
pub(crate) fn man(directory: &Path) -> Result<(), CliError> {
    let command = help::command();
    clap_mangen::generate_to(command, directory).map_err(|error| {
        let message = format!(
            "man pages can't be written to `{}`: {error}",
            directory.display()
        );
        CliError::new(Exit::Failed, message)
    })
}
