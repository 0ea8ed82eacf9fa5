//! `curfew history`: the journalled transitions, or with `--edges` the outcome of each edge.

mod edges;

use std::collections::{BTreeMap, BTreeSet};

use clap::Args;
use curfew_config::Configuration;
use curfew_core::human_time;
use curfew_core::instance::{AccountId, InstanceState, Region};
use curfew_core::schedule::ScheduleName;
use curfew_core::state_tags::Cause;
use curfew_core::time_expression::{TimeDirection, TimeExpression};
use curfew_core::transition::TransitionSource;
use curfew_journal::{HistoryFilter, Journal, JournalEntry};
use jiff::Timestamp;
use serde::Serialize;

use crate::format::Format;
use crate::progress;
use crate::table::{Cell, Column, Table, state_style};
use crate::view::View;
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
        print(context, &configuration, &edges::VIEW, &entries)
    } else {
        let entries = args.cut(journal.history(&filter)?, format);
        print(context, &configuration, &VIEW, &entries)
    }
}

/// The presentation of one kind of entry.
struct EntryView<T, const COLUMNS: usize> {
    /// The text if there are no entries.
    nothing: &'static str,
    /// The name of the list in the JSON document.
    plural: &'static str,
    /// The columns of the table without regions and accounts, and the row of an entry at an instant. Times are in the zones of the schedules.
    table_columns: fn() -> Vec<Column>,
    row: fn(&T, &Configuration, Timestamp) -> Vec<Cell>,
    /// The region and the account of an entry.
    place: fn(&T) -> (&Region, &AccountId),
    /// The header of the CSV document, and the cells of an entry.
    columns: [&'static str; COLUMNS],
    cells: fn(&T) -> [String; COLUMNS],
}

fn print<T: Serialize, const COLUMNS: usize>(
    context: &mut Context,
    configuration: &Configuration,
    view: &EntryView<T, COLUMNS>,
    entries: &[T],
) -> Result<(), CliError> {
    let now = context.clock.now();
    match context.output.format() {
        Format::Csv => {
            let rows = entries.iter().map(view.cells);
            context.output.raw(&csv::document(view.columns, rows))
        }
        Format::Jsonl => context.output.json_lines(entries),
        Format::Json | Format::Table | Format::Wide => {
            let document = BTreeMap::from([(view.plural, entries)]);
            context
                .output
                .print(&document, |_| describe(view, entries, configuration, now))
        }
    }
}

fn describe<T, const COLUMNS: usize>(
    view: &EntryView<T, COLUMNS>,
    entries: &[T],
    configuration: &Configuration,
    now: Timestamp,
) -> View {
    let mut described = View::default();
    if entries.is_empty() {
        described.line(view.nothing);
    } else {
        described.table(with_accounts(view, entries, configuration, now));
    }
    described
}

/// Makes a table, with columns for regions and accounts if there are several.
fn with_accounts<T, const COLUMNS: usize>(
    view: &EntryView<T, COLUMNS>,
    entries: &[T],
    configuration: &Configuration,
    now: Timestamp,
) -> Table {
    /// The index of the extra columns, after the time, the ID and the name.
    const COLUMN: usize = 3;
    let locations = || entries.iter().map(view.place);
    let regions: BTreeSet<&Region> = locations().map(|(region, _)| region).collect();
    let accounts: BTreeSet<&AccountId> = locations().map(|(_, account)| account).collect();
    let (several_regions, several_accounts) = (regions.len() > 1, accounts.len() > 1);
    let mut columns = (view.table_columns)();
    if several_accounts {
        columns.insert(COLUMN, Column::optional("account"));
    }
    if several_regions {
        columns.insert(COLUMN, Column::optional("region"));
    }
    let rows = entries.iter().map(|entry| {
        let (region, account) = (view.place)(entry);
        let mut row = (view.row)(entry, configuration, now);
        if several_accounts {
            row.insert(COLUMN, account.as_str().into());
        }
        if several_regions {
            row.insert(COLUMN, region.as_str().into());
        }
        row
    });
    Table::new(columns, rows)
}

const VIEW: EntryView<JournalEntry, 15> = EntryView {
    nothing: "no transitions",
    plural: "transitions",
    table_columns: || {
        vec![
            Column::whole("at"),
            Column::whole("instance"),
            Column::text("name"),
            Column::optional("from"),
            Column::whole("to"),
            Column::text("cause"),
            Column::optional("when"),
            Column::optional("schedule"),
        ]
    },
    row,
    place: |entry| (&entry.transition.region, &entry.transition.account),
    columns: [
        "number",
        "at",
        "id",
        "kind",
        "name",
        "from",
        "to",
        "cause",
        "actor",
        "schedule",
        "edge_at",
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
    matches!(format, Format::Table | Format::Wide | Format::Json)
}

/// Validates a kind of cause or a full cause.
fn cause(text: &str) -> Result<String, String> {
    let is_kind = matches!(text, "schedule" | "override" | "request" | "external");
    if is_kind || text.parse::<Cause>().is_ok() {
        return Ok(text.to_owned());
    }
    Err(r#"use `schedule`, `override`, `request` or `external`, or a full cause, such as "schedule office" or "override by alice""#.to_owned())
}

fn row(entry: &JournalEntry, configuration: &Configuration, now: Timestamp) -> Vec<Cell> {
    let t = &entry.transition;
    let zone = time_arg::zone(configuration, t.schedule.as_ref());
    let inferred = if t.source == TransitionSource::Inferred {
        " (inferred)"
    } else {
        ""
    };
    let by = t.actor.as_ref().map(|by| format!(": {by}"));
    vec![
        human_time::instant(t.at, &zone, now).into(),
        t.instance.to_string().into(),
        Cell::or_none(t.name.as_ref()),
        Cell::state(t.from),
        Cell::from(format!("{}{inferred}", t.to)).styled(state_style(t.to)),
        format!("{}{}", t.cause, by.unwrap_or_default()).into(),
        human_time::distance(t.at, now).into(),
        Cell::or_none(t.schedule.as_ref()),
    ]
}

fn cells(entry: &JournalEntry) -> [String; 15] {
    let t = &entry.transition;
    let text = |value: Option<String>| value.unwrap_or_default();
    [
        entry.number.to_string(),
        t.at.to_string(),
        t.instance.to_string(),
        t.kind.to_string(),
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
