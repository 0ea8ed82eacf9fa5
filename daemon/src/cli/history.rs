//! `curfew history`.

use std::fmt::Write as _;

use clap::Args;
use curfew_core::instance::InstanceState;
use curfew_core::memory::Cause;
use curfew_core::schedule::ScheduleName;
use curfew_core::transition::Evidence;
use jiff::tz::TimeZone;

use super::output::{Format, or_dash, table};
use super::{CliError, Context, csv, past};
use crate::journal::{Entry, Filter, Journal};
use crate::progress;

/// Which transitions to print.
#[derive(Debug, Args)]
pub(super) struct HistoryArgs {
    /// Only this instance, by id or name; may be given several times
    #[arg(long, value_name = "ID|NAME")]
    instance: Vec<String>,
    /// Only what happened since: 2h, 30d, today, yesterday, 2026-11-01, 2026-11-01T08:00
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,
    /// Only what happened before
    #[arg(long, value_name = "WHEN")]
    until: Option<String>,
    /// Only instances that this schedule governed
    #[arg(long, value_name = "NAME")]
    schedule: Option<ScheduleName>,
    /// Only by this cause: schedule, hold, request, outside, or one of them whole, such as "hold by alice"
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

pub(super) fn history(context: &mut Context, args: &HistoryArgs) -> Result<(), CliError> {
    let settings = context.settings()?;
    let format = context.output.format();
    let journal = Journal::read(&settings.state_dir())?;
    let mut entries = journal.history(&args.filter(context, format)?)?;
    let left_out = entries.len().saturating_sub(SHOWN as usize);
    if args.limit.is_none() && is_cut(format) && left_out > 0 {
        entries.drain(..left_out);
        let note = format!("these are the newest {SHOWN}: --limit shows more, -o jsonl all");
        progress::stderr().note(&note);
    }
    match format {
        Format::Csv => context
            .output
            .raw(&csv::document(COLUMNS, entries.iter().map(cells))),
        Format::Jsonl => context.output.raw(lines(&entries).as_bytes()),
        Format::Json | Format::Table => context.output.print(&entries, |entries| {
            let header = ["at", "instance", "name", "from", "to", "cause", "schedule"];
            if entries.is_empty() {
                "no transitions".to_owned()
            } else {
                table(&header, entries.iter().map(row))
            }
        }),
    }
}

impl HistoryArgs {
    fn filter(&self, context: &Context, format: Format) -> Result<Filter, CliError> {
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
        Ok(Filter {
            since,
            until,
            instances: self.instance.clone(),
            schedule: self.schedule.clone(),
            cause: self.cause.clone(),
            to: self.to,
            limit: self.limit.or(usual),
        })
    }
}

/// Whether only the newest are printed where nobody says how many: a line each is for programs, which take them all.
fn is_cut(format: Format) -> bool {
    matches!(format, Format::Table | Format::Json)
}

/// A sort of cause, or a whole one.
fn cause(text: &str) -> Result<String, String> {
    let is_sort = matches!(text, "schedule" | "hold" | "request" | "outside");
    if is_sort || text.parse::<Cause>().is_ok() {
        return Ok(text.to_owned());
    }
    Err(r#"write `schedule`, `hold`, `request` or `outside`, or one of them whole, such as "schedule office" or "hold by alice""#.to_owned())
}

fn row(entry: &Entry) -> Vec<String> {
    let t = &entry.transition;
    let at = t.at.to_zoned(TimeZone::system());
    let inferred = if t.evidence == Evidence::Inference {
        " (inferred)"
    } else {
        ""
    };
    let by = t.by.as_ref().map(|by| format!(": {by}"));
    vec![
        at.strftime("%Y-%m-%d %H:%M:%S").to_string(),
        t.instance.to_string(),
        or_dash(t.name.as_ref()),
        t.from.to_string(),
        format!("{}{inferred}", t.to),
        format!("{}{}", t.cause, by.unwrap_or_default()),
        or_dash(t.schedule.as_ref()),
    ]
}

fn lines(entries: &[Entry]) -> String {
    let mut lines = String::new();
    for entry in entries {
        let json = serde_json::to_string(entry).expect("an entry is plain data");
        writeln!(lines, "{json}").expect("memory takes what is written to it");
    }
    lines
}

const COLUMNS: [&str; 14] = [
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
];

fn cells(entry: &Entry) -> [String; COLUMNS.len()] {
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
