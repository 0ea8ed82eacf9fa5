//! `curfew check`.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::output::counted;
use super::{CliError, Context};
use crate::settings;

/// Check a settings file, and report every error in it.
#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// The settings file [default: --config]
    file: Option<PathBuf>,
}

#[derive(Serialize)]
struct Checked {
    file: Option<PathBuf>,
    schedules: Vec<String>,
}

pub(super) fn check(context: &mut Context, args: CheckArgs) -> Result<(), CliError> {
    let mut overrides = context.overrides();
    overrides.file = args.file.or(overrides.file);
    let settings = settings::load(&overrides)?;
    let schedules = settings
        .governance
        .schedules
        .keys()
        .map(ToString::to_string)
        .collect();
    let checked = Checked {
        file: settings.file,
        schedules,
    };
    context.output.print(&checked, |checked| {
        let file = checked
            .file
            .as_ref()
            .map_or("the built-in defaults".to_owned(), |file| {
                format!("`{}`", file.display())
            });
        match checked.schedules.as_slice() {
            [] => format!("{file} is good; it has no schedules yet"),
            names => format!(
                "{file} is good: {} ({})",
                counted(names.len(), "schedule"),
                names.join(", ")
            ),
        }
    })
}
