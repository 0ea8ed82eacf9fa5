//! `curfew import`: converts the schedules of another tool to a configuration file.

use std::io::{self, Read as _};
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
    /// Convert Instance Scheduler on AWS: the output of describe-schedules and describe-periods, concatenated; a scan of its DynamoDB
    /// table; or a CloudFormation template in YAML or JSON
    InstanceScheduler {
        /// Input file, or - for standard input
        #[arg(default_value = "-")]
        file: PathBuf,
    },
    /// Convert Cloud Custodian: the value of an off-hours tag, or policies in YAML or JSON
    Custodian {
        /// Tag value, such as 'off=(M-F,19);on=(M-F,7);tz=pt', or a file of policies, or - for standard input
        value: String,
    },
}

/// Prints the converted schedules, then fails if some could not be converted.
pub(crate) fn import(context: &mut Context, args: ImportArgs) -> Result<(), CliError> {
    let imported = match args.from {
        ImportSource::InstanceScheduler { file } => {
            curfew_import::instance_scheduler(&read(&file)?)
        }
        ImportSource::Custodian { value } if value == "-" || Path::new(&value).exists() => {
            curfew_import::custodian(&read(Path::new(&value))?)
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

/// The maximum size of the input: a template of CloudFormation has at most 1 MB, and a DynamoDB scan of a thousand schedules less.
const LARGEST_FILE: u64 = 4 << 20;

fn read(file: &Path) -> Result<String, CliError> {
    let (name, read) = if file.as_os_str() == "-" {
        ("standard input".to_owned(), read_stdin())
    } else {
        let name = format!("`{}`", file.display());
        (name, curfew_files::read_text(file, LARGEST_FILE))
    };
    read.map_err(|error| CliError::new(Exit::Usage, format!("{name} can't be read: {error}")))
}

fn read_stdin() -> io::Result<String> {
    let mut text = String::new();
    let stdin = io::stdin().lock();
    let length = stdin.take(LARGEST_FILE + 1).read_to_string(&mut text)?;
    if length as u64 > LARGEST_FILE {
        let message = format!("it has more than {} KiB", LARGEST_FILE / 1024);
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    Ok(text)
}

fn list(problems: &[Problem]) -> String {
    let line = |problem: &Problem| format!("\n  {problem}");
    problems.iter().map(line).collect()
}
