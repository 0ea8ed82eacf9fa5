//! `curfew history`: the journalled transitions, or with `--edges` the outcome of each edge.

mod edges;

use std::collections::BTreeSet;
use std::fmt::Write as _;

use clap::Args;
use curfew_config::Configuration;
use curfew_core::instance::{AccountId, InstanceState, Region};
use curfew_core::schedule::ScheduleName;
use curfew_core::state_tags::Cause;
use curfew_core::time_expression::{TimeDirection, TimeExpression};
use curfew_core::transition::TransitionSource;
use curfew_journal::{HistoryFilter, Journal, JournalEntry};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;

use crate::output::{Format, or_dash, table};
use crate::progress;
use crate::{CliError, Context, csv, time_arg};

/// The options of `history`.
#[derive(Debug, Args)]
pub(crate) struct HistoryArgs {
    /// Show the outcome and the latency of each edge instead (with daemon.driver = "cloud")
    #[arg(long, conflicts_with = "to")]
    edges: bool,
    /// Show only this instance, by ID or name (repeatable)
    #[arg(long, value_name = "ID|NAME")]
    instance: Vec<String>,
    /// Show entries from this time on, such as 2h, yesterday, friday or 2026-11-01
    #[arg(long, value_name = "WHEN")]
    since: Option<TimeExpression>,
    /// Show entries before this time
    #[arg(long, value_name = "WHEN")]
    until: Option<TimeExpression>,
    /// Show only instances managed by this schedule
    #[arg(long, value_name = "NAME")]
    schedule: Option<ScheduleName>,
    /// Show only this cause: schedule, override, request, external, or in full, such as "override by alice"
    #[arg(long, value_name = "CAUSE", value_parser = cause)]
    cause: Option<String>,
    /// Show only transitions to this state: running, stopped, pending, stopping, shutting-down, terminated
    #[arg(long, value_name = "STATE")]
    to: Option<InstanceState>,
    /// Show at most this many entries, the newest [default: 100; all for jsonl and csv]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
}

/// About two screens.
const SHOWN: u32 = 100;

pub(crate) fn history(context: &mut Context, args: &HistoryArgs) -> Result<(), CliError> {
    let configuration = context.configuration()?;
    let format = context.output.format();
    let journal = Journal::read(&configuration.state_dir())?;
    let filter = args.filter(context, &configuration, format)?;
    if args.edges {
        let entries = args.cut(journal.edges(&filter)?, format);
        print(context, format, &edges::VIEW, &entries)
    } else {
        let entries = args.cut(journal.history(&filter)?, format);
        print(context, format, &VIEW, &entries)
    }
}

/// The presentation of one kind of entry.
struct EntryView<T, const COLUMNS: usize> {
    /// The text if there are no entries.
    nothing: &'static str,
    /// The header of the table, and the row of an entry.
    header: &'static [&'static str],
    row: fn(&T) -> Vec<String>,
    /// The region and the account of an entry.
    place: fn(&T) -> (&Region, &AccountId),
    /// The header of the CSV document, and the cells of an entry.
    columns: [&'static str; COLUMNS],
    cells: fn(&T) -> [String; COLUMNS],
}

fn print<T: Serialize, const COLUMNS: usize>(
    context: &mut Context,
    format: Format,
    view: &EntryView<T, COLUMNS>,
    entries: &[T],
) -> Result<(), CliError> {
    match format {
        Format::Csv => {
            let rows = entries.iter().map(view.cells);
            context.output.raw(&csv::document(view.columns, rows))
        }
        Format::Jsonl => context.output.raw(lines(entries).as_bytes()),
        Format::Json | Format::Table => context.output.print(&entries, |entries| {
            if entries.is_empty() {
                view.nothing.to_owned()
            } else {
                with_accounts(view, entries)
            }
        }),
    }
}

/// Renders a table, with columns for regions and accounts if there are several.
fn with_accounts<T, const COLUMNS: usize>(view: &EntryView<T, COLUMNS>, entries: &[T]) -> String {
    /// The index of the extra columns, after the ID and the name.
    const COLUMN: usize = 3;
    let locations = || entries.iter().map(view.place);
    let regions: BTreeSet<&Region> = locations().map(|(region, _)| region).collect();
    let accounts: BTreeSet<&AccountId> = locations().map(|(_, account)| account).collect();
    let (several_regions, several_accounts) = (regions.len() > 1, accounts.len() > 1);
    let with = |mut row: Vec<String>, region: &str, account: &str| {
        if several_accounts {
            row.insert(COLUMN, account.to_owned());
        }
        if several_regions {
            row.insert(COLUMN, region.to_owned());
        }
        row
    };
    let header = view.header.iter().map(|word| (*word).to_owned()).collect();
    let header = with(header, "region", "account");
    let header: Vec<&str> = header.iter().map(String::as_str).collect();
    let rows = entries.iter().map(|entry| {
        let (region, account) = (view.place)(entry);
        with((view.row)(entry), region.as_str(), account.as_str())
    });
    table(&header, rows)
}

const VIEW: EntryView<JournalEntry, 14> = EntryView {
    nothing: "no transitions",
    header: &["at", "instance", "name", "from", "to", "cause", "schedule"],
    row,
    place: |entry| (&entry.transition.region, &entry.transition.account),
    columns: [
        "id",
        "at",
        "instance",
        "name",
        "from",
        "to",
        "cause",
        "actor",
        "schedule",
        "edge",
        "source",
        "instance_type",
        "region",
        "account",
    ],
    cells,
};

impl HistoryArgs {
    fn filter(
        &self,
        context: &Context,
        configuration: &Configuration,
        format: Format,
    ) -> Result<HistoryFilter, CliError> {
        let now = context.clock.now();
        let zone = time_arg::zone(configuration, self.schedule.as_ref());
        let instant = |option, when: Option<TimeExpression>| {
            when.map(|when| time_arg::instant(option, when, TimeDirection::Past, &zone, now))
                .transpose()
        };
        let since = instant("--since", self.since)?;
        let until = instant("--until", self.until)?;
        if let (Some(since), Some(until)) = (since, until) {
            time_arg::in_order(since, until)?;
        }
        // One more than shown reveals whether there are more.
        let usual = is_cut(format).then_some(SHOWN + 1);
        Ok(HistoryFilter {
            since,
            until,
            instances: self.instance.clone(),
            schedule: self.schedule.clone(),
            cause: self.cause.clone(),
            to: self.to,
            limit: self.limit.or(usual),
        })
    }

    /// Keeps the newest entries and prints a note if there are more.
    fn cut<T>(&self, mut entries: Vec<T>, format: Format) -> Vec<T> {
        let left_out = entries.len().saturating_sub(SHOWN as usize);
        if self.limit.is_none() && is_cut(format) && left_out > 0 {
            entries.drain(..left_out);
            let note =
                format!("showing the newest {SHOWN}; use --limit for more, or -o jsonl for all");
            progress::stderr().note(&note);
        }
        entries
    }
}

/// Returns whether a format shows only the newest entries by default. Line formats are for programs and have all entries.
fn is_cut(format: Format) -> bool {
    matches!(format, Format::Table | Format::Json)
}

/// Validates a kind of cause or a full cause.
fn cause(text: &str) -> Result<String, String> {
    let is_kind = matches!(text, "schedule" | "override" | "request" | "external");
    if is_kind || text.parse::<Cause>().is_ok() {
        return Ok(text.to_owned());
    }
    Err(r#"use `schedule`, `override`, `request` or `external`, or a full cause, such as "schedule office" or "override by alice""#.to_owned())
}

fn row(entry: &JournalEntry) -> Vec<String> {
    let t = &entry.transition;
    let inferred = if t.source == TransitionSource::Inferred {
        " (inferred)"
    } else {
        ""
    };
    let by = t.actor.as_ref().map(|by| format!(": {by}"));
    vec![
        local(t.at),
        t.instance.to_string(),
        or_dash(t.name.as_ref()),
        t.from.to_string(),
        format!("{}{inferred}", t.to),
        format!("{}{}", t.cause, by.unwrap_or_default()),
        or_dash(t.schedule.as_ref()),
    ]
}

/// Formats an instant in the zone of this machine.
fn local(at: Timestamp) -> String {
    let at = at.to_zoned(TimeZone::system());
    at.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

fn lines(entries: &[impl Serialize]) -> String {
    let mut lines = String::new();
    for entry in entries {
        let json = serde_json::to_string(entry).expect("an entry is plain data");
        writeln!(lines, "{json}").expect("writing to memory does not fail");
    }
    lines
}

fn cells(entry: &JournalEntry) -> [String; 14] {
    let t = &entry.transition;
    let text = |value: Option<String>| value.unwrap_or_default();
    [
        entry.id.to_string(),
        t.at.to_string(),
        t.instance.to_string(),
        text(t.name.clone()),
        t.from.to_string(),
        t.to.to_string(),
        t.cause.to_string(),
        text(t.actor.clone()),
        text(t.schedule.as_ref().map(ToString::to_string)),
        text(t.edge.map(|edge| edge.to_string())),
        t.source.to_string(),
        text(t.instance_type.clone()),
        t.region.to_string(),
        t.account.to_string(),
    ]
}
