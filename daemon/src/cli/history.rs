//! `curfew history`.

use clap::Args;
use curfew_core::instance::InstanceId;
use jiff::{Timestamp, tz::TimeZone};

use super::output::{or_dash, table};
use super::{CliError, Context, Exit};
use crate::journal::{Entry, Filter, Journal};

/// Which transitions to print.
#[derive(Debug, Args)]
pub(super) struct HistoryArgs {
    /// Only this instance
    #[arg(long, value_name = "ID")]
    instance: Option<InstanceId>,
    /// Only what happened since: an instant (2026-11-23T08:00:00Z) or a length of time (24h)
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,
    /// At most so many, the newest ones
    #[arg(long, default_value_t = 100, value_name = "N")]
    limit: u32,
}

pub(super) fn history(context: &mut Context, args: &HistoryArgs) -> Result<(), CliError> {
    let settings = context.settings()?;
    let since = args
        .since
        .as_deref()
        .map(|text| since(text, context.clock.now()))
        .transpose()?;
    let journal = Journal::read(&settings.state_dir())?;
    let filter = Filter {
        since,
        instance: args.instance.clone(),
        limit: Some(args.limit),
    };
    let entries = journal.history(&filter)?;
    context.output.print(&entries, |entries| {
        let header = ["at", "instance", "name", "from", "to", "cause", "schedule"];
        if entries.is_empty() {
            "no transitions".to_owned()
        } else {
            table(&header, entries.iter().map(row))
        }
    })
}

fn since(text: &str, now: Timestamp) -> Result<Timestamp, CliError> {
    if let Ok(at) = text.parse() {
        return Ok(at);
    }
    let length = curfew_core::settings::duration(text);
    length
        .ok()
        .and_then(|length| now.checked_sub(length).ok())
        .ok_or_else(|| {
            let message = format!(
                "`--since {text}` is neither an instant nor a length of time up to 31 days"
            );
            CliError::new(Exit::Usage, message).hint("write 2026-11-23T08:00:00Z, or 24h")
        })
}

fn row(entry: &Entry) -> Vec<String> {
    let t = &entry.transition;
    let at = t.at.to_zoned(TimeZone::system());
    vec![
        at.strftime("%Y-%m-%d %H:%M:%S").to_string(),
        t.instance.to_string(),
        or_dash(t.name.as_ref()),
        t.from.to_string(),
        t.to.to_string(),
        t.cause.to_string(),
        or_dash(t.schedule.as_ref()),
    ]
}
