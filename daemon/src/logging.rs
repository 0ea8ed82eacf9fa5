//! Where log lines go: to people on a terminal, to programs as JSON.

use std::io::{self, IsTerminal};

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One line for people.
    Human,
    /// One JSON object a line.
    Json,
}

/// Sends log lines to standard error. `CURFEW_LOG` filters as in `tracing_subscriber`'s `EnvFilter`; without it, `verbosity`
/// says how much.
pub fn init(format: LogFormat, verbosity: u8) {
    let default = match verbosity {
        0 => "warn,curfew=info,curfew_aws=info",
        1 => "info,curfew=debug,curfew_aws=debug",
        _ => "debug",
    };
    let filter = EnvFilter::try_from_env("CURFEW_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    let colour = io::stderr().is_terminal()
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(colour);
    match format {
        LogFormat::Human => lines.with_target(false).init(),
        LogFormat::Json => lines.json().flatten_event(true).init(),
    }
}
