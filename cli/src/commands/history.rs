//! `curfew history`: transitions, and with `--edges` what became of each edge.

mod edges;

use std::collections::BTreeSet;
use std::fmt::Write as _;

use clap::Args;
use curfew_core::instance::{AccountId, InstanceState, Region};
use curfew_core::schedule::ScheduleName;
use curfew_core::state_tags::Cause;
use curfew_core::transition::TransitionSource;
use curfew_journal::{HistoryFilter, Journal, JournalEntry};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;

use crate::output::{Format, or_dash, table};
use crate::progress;
use crate::{CliError, Context, csv, past};

/// Which transitions to print, or which edges.
#[derive(Debug, Args)]
pub(crate) struct HistoryArgs {
    /// Instead of transitions, what became of each edge that the cloud was to apply (`daemon.driver = "cloud"`), and how soon
    #[arg(long, conflicts_with = "to")]
    edges: bool,
    /// Only this instance, by id or name; may be given several times
    #[arg(long, value_name = "ID|NAME")]
    instance: Vec<String>,
    /// Only what happened since: 2h, 30d, today, yesterday, 2026-11-01, 2026-11-01T08:00
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,
    /// Only what happened before
    #[arg(long, value_name = "WHEN")]
    until: Option<String>,
    /// Only instances that this schedule managed
    #[arg(long, value_name = "NAME")]
    schedule: Option<ScheduleName>,
    /// Only by this cause: schedule, override, request, outside, or one of them whole, such as "override by alice"
    #[arg(long, value_name = "CAUSE", value_parser = cause)]
    cause: Option<String>,
    /// Only to this state: running, stopped, pending, stopping, shutting-down, terminated
    #[arg(long, value_name = "STATE")]
    to: Option<InstanceState>,
    /// At most so many, the newest ones [default: 100; all for jsonl and csv]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
}

/// A screen or two of them.
const SHOWN: u32 = 100;

pub(crate) fn history(context: &mut Context, args: &HistoryArgs) -> Result<(), CliError> {
    let configuration = context.configuration()?;
    let format = context.output.format();
    let journal = Journal::read(&configuration.state_dir())?;
    let filter = args.filter(context, format)?;
    if args.edges {
        let entries = args.cut(journal.edges(&filter)?, format);
        print(context, format, &edges::VIEW, &entries)
    } else {
        let entries = args.cut(journal.history(&filter)?, format);
        print(context, format, &VIEW, &entries)
    }
}

/// How entries of one sort are shown.
struct View<T, const COLUMNS: usize> {
    /// Where there are none.
    nothing: &'static str,
    /// What a table for people has, and a line of it.
    header: &'static [&'static str],
    row: fn(&T) -> Vec<String>,
    /// Where the instance of an entry is.
    place: fn(&T) -> (&Region, &AccountId),
    /// The same for CSV.
    columns: [&'static str; COLUMNS],
    cells: fn(&T) -> [String; COLUMNS],
}

fn print<T: Serialize, const COLUMNS: usize>(
    context: &mut Context,
    format: Format,
    view: &View<T, COLUMNS>,
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
                placed(view, entries)
            }
        }),
    }
}

/// A table for people. It says in which regions and accounts instances are as soon as there are several.
fn placed<T, const COLUMNS: usize>(view: &View<T, COLUMNS>, entries: &[T]) -> String {
    /// After an instance's id and its name.
    const COLUMN: usize = 3;
    let places = || entries.iter().map(view.place);
    let regions: BTreeSet<&Region> = places().map(|(region, _)| region).collect();
    let accounts: BTreeSet<&AccountId> = places().map(|(_, account)| account).collect();
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

const VIEW: View<JournalEntry, 14> = View {
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
        "by",
        "schedule",
        "edge",
        "evidence",
        "instance_type",
        "region",
        "account",
    ],
    cells,
};

impl HistoryArgs {
    fn filter(&self, context: &Context, format: Format) -> Result<HistoryFilter, CliError> {
        let now = context.clock.now();
        let zone = TimeZone::system();
        let instant = |option, text: &Option<String>| {
            let text = text.as_deref();
            text.map(|text| past::instant(option, text, now, &zone))
                .transpose()
        };
        let since = instant("--since", &self.since)?;
        let until = instant("--until", &self.until)?;
        if let (Some(since), Some(until)) = (since, until) {
            past::in_order(since, until)?;
        }
        // One more than is shown tells whether there are more.
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

    /// The newest of them, and a note where there are more.
    fn cut<T>(&self, mut entries: Vec<T>, format: Format) -> Vec<T> {
        let left_out = entries.len().saturating_sub(SHOWN as usize);
        if self.limit.is_none() && is_cut(format) && left_out > 0 {
            entries.drain(..left_out);
            let note = format!("these are the newest {SHOWN}: --limit shows more, -o jsonl all");
            progress::stderr().note(&note);
        }
        entries
    }
}

/// Whether only the newest are printed where nobody says how many: a line each is for programs, which take them all.
fn is_cut(format: Format) -> bool {
    matches!(format, Format::Table | Format::Json)
}

/// A sort of cause, or a whole one.
fn cause(text: &str) -> Result<String, String> {
    let is_sort = matches!(text, "schedule" | "override" | "request" | "external");
    if is_sort || text.parse::<Cause>().is_ok() {
        return Ok(text.to_owned());
    }
    Err(r#"write `schedule`, `override`, `request` or `external`, or one of them whole, such as "schedule office" or "override by alice""#.to_owned())
}

fn row(entry: &JournalEntry) -> Vec<String> {
    let t = &entry.transition;
    let inferred = if t.evidence == TransitionSource::Inferred {
        " (inferred)"
    } else {
        ""
    };
    let by = t.by.as_ref().map(|by| format!(": {by}"));
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

/// By the clock on the wall here, for people.
fn local(at: Timestamp) -> String {
    let at = at.to_zoned(TimeZone::system());
    at.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

fn lines(entries: &[impl Serialize]) -> String {
    let mut lines = String::new();
    for entry in entries {
        let json = serde_json::to_string(entry).expect("an entry is plain data");
        writeln!(lines, "{json}").expect("memory takes what is written to it");
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
        text(t.by.clone()),
        text(t.schedule.as_ref().map(ToString::to_string)),
        text(t.edge.map(|edge| edge.to_string())),
        t.evidence.to_string(),
        text(t.instance_type.clone()),
        t.region.to_string(),
        t.account.to_string(),
    ]
}
