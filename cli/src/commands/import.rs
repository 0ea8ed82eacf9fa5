//! `curfew import`: converts the schedules of another tool to a configuration file.

use std::io::Read;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use curfew_core::problem::Problem;
use curfew_import::Imported;

use crate::{CliError, Context, Exit};

/// The options of `import`.
#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    #[command(subcommand)]
    from: ImportSource,
}

#[derive(Debug, Subcommand)]
enum ImportSource {
    /// Convert Instance Scheduler on AWS: the output of describe-schedules and describe-periods, concatenated, or a CloudFormation
    /// template in JSON
    InstanceScheduler {
        /// Input file, or - for standard input
        #[arg(default_value = "-")]
        file: PathBuf,
    },
    /// Convert Cloud Custodian: the value of an off-hours tag, or a policy in JSON
    Custodian {
        /// Tag value, such as 'off=(M-F,19);on=(M-F,7);tz=pt', or - to read it or a policy from standard input
        value: String,
    },
}

/// Prints the converted schedules, then fails if some could not be converted.
pub(crate) fn import(context: &mut Context, args: ImportArgs) -> Result<(), CliError> {
    let imported = match args.from {
        ImportSource::InstanceScheduler { file } => {
            curfew_import::instance_scheduler(&read(&file)?)
        }
        ImportSource::Custodian { value } if value == "-" => {
            curfew_import::custodian(&read(Path::new("-"))?)
        }
        ImportSource::Custodian { value } => curfew_import::custodian(&value),
    };
    let Imported { toml, refused } = imported.map_err(|problems| {
        CliError::new(
            Exit::Usage,
            format!("nothing was imported:{}", list(&problems)),
        )
        .hint("see docs/reference/import.md for what can be converted")
    })?;
    context.output.raw(toml.as_bytes())?;
    if refused.is_empty() {
        return Ok(());
    }
    let message = format!("some schedules could not be imported:{}", list(&refused));
    Err(CliError::new(Exit::Failed, message)
        .hint("the TOML lists them at the top; see docs/reference/import.md for the reasons"))
}

fn read(file: &Path) -> Result<String, CliError> {
    let (name, read) = if file.as_os_str() == "-" {
        let mut text = String::new();
        let read = std::io::stdin().lock().read_to_string(&mut text);
        ("standard input".to_owned(), read.map(|_| text))
    } else {
        (
            format!("`{}`", file.display()),
            std::fs::read_to_string(file),
        )
    };
    read.map_err(|error| CliError::new(Exit::Usage, format!("{name} can't be read: {error}")))
}

fn list(problems: &[Problem]) -> String {
    let line = |problem: &Problem| format!("\n  {problem}");
    problems.iter().map(line).collect()
}
