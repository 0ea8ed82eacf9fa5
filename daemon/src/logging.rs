//! Log output: to journald under systemd, as text on a terminal, or as JSON.

mod journald;

use std::io::{self, IsTerminal};
use std::path::Path;

use rustix::fs::fstat;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use self::journald::Journald;

/// The format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// To journald with fields if systemd connected standard error to it, else as `human`.
    Auto,
    /// A line of text for each event.
    Human,
    /// A JSON object for each event, one a line.
    Json,
}

/// Sends log lines to standard error, or to journald. `CURFEW_LOG` filters as in `tracing_subscriber`'s `EnvFilter`; without
/// it, `verbosity` selects the levels.
pub fn init(format: LogFormat, verbosity: u8) {
    let default = match verbosity {
        // Applies to all crates with this prefix.
        0 => "warn,curfew=info",
        1 => "info,curfew=debug",
        _ => "debug",
    };
    let filter = EnvFilter::try_from_env("CURFEW_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    if format == LogFormat::Auto
        && is_journald(std::env::var("JOURNAL_STREAM").ok().as_deref())
        && let Ok(journald) = Journald::connect(Path::new(journald::SOCKET))
    {
        tracing_subscriber::registry()
            .with(filter)
            .with(journald)
            .init();
        return;
    }
    let colour = io::stderr().is_terminal()
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(colour);
    match format {
        LogFormat::Auto | LogFormat::Human => lines.with_target(false).init(),
        LogFormat::Json => lines.json().flatten_event(true).init(),
    }
}

/// Whether standard error is the journald stream that `JOURNAL_STREAM` names. Child processes inherit the variable, with a
/// different standard error.
fn is_journald(stream: Option<&str>) -> bool {
    let Some((device, inode)) = stream.and_then(|stream| stream.split_once(':')) else {
        return false;
    };
    fstat(io::stderr())
        .is_ok_and(|file| device.parse() == Ok(file.st_dev) && inode.parse() == Ok(file.st_ino))
}

#[cfg(test)]
mod table;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_stream_of_standard_error_selects_journald() {
        let file = fstat(io::stderr()).unwrap();
        let ours = format!("{}:{}", file.st_dev, file.st_ino);
        assert!(is_journald(Some(&ours)));
        assert!(!is_journald(Some(&format!(
            "{}:{}",
            file.st_dev,
            file.st_ino + 1
        ))));
        assert!(!is_journald(Some("8:x")));
        assert!(!is_journald(None));
    }
}
