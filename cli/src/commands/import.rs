//! `curfew import`: another tool's schedules as our configuration, on standard output.

use std::io::Read;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use curfew_core::problem::Problem;
use curfew_import::Imported;

use crate::{CliError, Context, Exit};

/// Whose schedules.
#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    #[command(subcommand)]
    from: Source,
}

#[derive(Debug, Subcommand)]
enum Source {
    /// Instance Scheduler on AWS: the JSON that its describe-schedules and describe-periods print (one after the other, in
    /// any order), or a CloudFormation template in JSON
    InstanceScheduler {
        /// The file; - is standard input
        #[arg(default_value = "-")]
        file: PathBuf,
    },
    /// Cloud Custodian: the value of an off-hours tag, or a policy in JSON
    Custodian {
        /// The value, such as 'off=(M-F,19);on=(M-F,7);tz=pt'; - reads it, or a policy, from standard input
        value: String,
    },
}

/// Prints what could be translated. What could not is an error, after that.
pub(crate) fn import(context: &mut Context, args: ImportArgs) -> Result<(), CliError> {
    let imported = match args.from {
        Source::InstanceScheduler { file } => curfew_import::instance_scheduler(&read(&file)?),
        Source::Custodian { value } if value == "-" => {
            curfew_import::custodian(&read(Path::new("-"))?)
        }
        Source::Custodian { value } => curfew_import::custodian(&value),
    };
    let Imported { toml, refused } = imported.map_err(|problems| {
        CliError::new(
            Exit::Usage,
            format!("nothing was imported:{}", list(&problems)),
        )
        .hint("docs/import.md says what is translated, and what is not")
    })?;
    context.output.raw(toml.as_bytes())?;
    if refused.is_empty() {
        return Ok(());
    }
    let message = format!("the rest was imported, but not:{}", list(&refused));
    Err(CliError::new(Exit::Failed, message)
        .hint("they are at the head of the TOML too; docs/import.md has each reason"))
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
