//! `curfew savings`: stopped hours and savings from the journal. `simulate` estimates them from the schedules.

use std::collections::BTreeSet;

use clap::{Args, ValueEnum};
use curfew_core::human_time;
use curfew_core::schedule::ScheduleName;
use curfew_core::time_expression::{TimeDirection, TimeExpression};
use curfew_journal::savings::{By, RecordedHistory, SavingsLine, SavingsQuery, savings as answer};
use curfew_journal::{HistoryFilter, Journal};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::format::Format;
use crate::output::{count, counted};
use crate::table::{Cell, Column, Table};
use crate::view::View;
use crate::{CliError, Context, csv, money, time_arg};

/// The options of `savings`.
#[derive(Debug, Args)]
pub(crate) struct SavingsArgs {
    /// Start of the report, such as 30d, yesterday or 2026-11-01
    #[arg(long, default_value = "30d", value_name = "WHEN")]
    since: TimeExpression,
    /// End of the report [default: now]
    #[arg(long, value_name = "WHEN")]
    until: Option<TimeExpression>,
    /// Group the report by this
    #[arg(long, default_value = "schedule", value_name = "WHAT")]
    by: Grouping,
    /// Include only this instance, by ID or name (repeatable)
    #[arg(long, value_name = "ID|NAME")]
    instance: Vec<String>,
    /// Include only time managed by this schedule
    #[arg(long, value_name = "NAME")]
    schedule: Option<ScheduleName>,
}

/// How the report is grouped.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Grouping {
    /// One row for each managing schedule
    Schedule,
    /// One row for each instance
    Instance,
    /// One row for each month
    Month,
    /// One row for each account
    Account,
    /// One row for each region
    Region,
}

impl From<Grouping> for By {
    fn from(grouping: Grouping) -> Self {
        match grouping {
            Grouping::Schedule => Self::Schedule,
            Grouping::Instance => Self::Instance,
            Grouping::Month => Self::Month,
            Grouping::Account => Self::Account,
            Grouping::Region => Self::Region,
        }
    }
}

/// The recorded hours and savings.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(crate) struct SavingsReport {
    /// The start of the report.
    since: Timestamp,
    /// The end of the report.
    until: Timestamp,
    /// The start of the journal; the lines exclude the time before.
    recorded_since: Option<Timestamp>,
    /// What a line stands for: `schedule`, `instance`, `month`, `account` or `region`.
    by: &'static str,
    /// The currency of all amounts, from the configuration's `currency`.
    currency: String,
    /// The lines of the report.
    lines: Vec<SavingsRow>,
    /// The sums over all lines.
    total: SavingsRow,
}

#[derive(Debug, Serialize, schemars::JsonSchema)]
struct SavingsRow {
    /// The schedule, instance, month, account or region.
    name: String,
    /// The number of instances.
    count: usize,
    /// The hours in which instances were running.
    on_hours: f64,
    /// The hours in which instances were stopped.
    off_hours: f64,
    /// The hours without data.
    unknown_hours: f64,
    /// The share of the known hours that is off, from 0 to 1; null without known hours.
    off_share: Option<f64>,
    /// The amount that was saved; null if the configuration has no prices.
    saved: Option<f64>,
    /// The hours off of instance types without a price.
    unpriced_off_hours: f64,
    /// The region, if there is only one.
    region: Option<String>,
    /// The account, if there is only one.
    account: Option<String>,
}

pub(crate) fn savings(context: &mut Context, args: &SavingsArgs) -> Result<(), CliError> {
    let configuration = context.configuration()?;
    let now = context.clock.now();
    let zone = time_arg::zone(&configuration, args.schedule.as_ref());
    let instant = |option, when| time_arg::instant(option, when, TimeDirection::Past, &zone, now);
    let since = instant("--since", args.since)?;
    let until = args.until.map(|when| instant("--until", when));
    let until = until.transpose()?.unwrap_or(now).min(now);
    time_arg::in_order(since, until)?;
    let journal = Journal::read(&configuration.state_dir())?;
    let account = RecordedHistory {
        initial_states: journal.initial_states()?,
        entries: journal.history(&HistoryFilter::default())?,
        coverage: journal.coverage_intervals()?,
    };
    let question = SavingsQuery {
        since,
        until,
        by: args.by.into(),
        instances: args.instance.clone(),
        schedule: args.schedule.clone(),
        prices: configuration.prices.clone(),
        zone: zone.clone(),
    };
    let found = answer(&account, &question);
    let priced = !configuration.prices.is_empty();
    let lines = found.lines.iter();
    let report = SavingsReport {
        since,
        until,
        recorded_since: account.coverage.iter().map(|stretch| stretch.begun).min(),
        by: grouping_name(args.by.into()),
        currency: configuration.currency.clone(),
        lines: lines
            .map(|(name, line)| SavingsRow::of(name, line, priced))
            .collect(),
        total: SavingsRow::of("total", &found.total, priced),
    };
    match context.output.format() {
        Format::Csv => context.output.raw(&csv::document(
            COLUMNS,
            report.lines.iter().map(SavingsRow::cells),
        )),
        Format::Jsonl => context.output.json_lines(&report.lines),
        Format::Json | Format::Table | Format::Wide => context
            .output
            .print(&report, |report| describe(report, &zone, now)),
    }
}

fn grouping_name(by: By) -> &'static str {
    match by {
        By::Schedule => "schedule",
        By::Instance => "instance",
        By::Month => "month",
        By::Account => "account",
        By::Region => "region",
    }
}

const COLUMNS: [&str; 10] = [
    "name",
    "count",
    "on_hours",
    "off_hours",
    "unknown_hours",
    "off_share",
    "saved",
    "unpriced_off_hours",
    "region",
    "account",
];

impl SavingsRow {
    fn of(name: &str, line: &SavingsLine, priced: bool) -> Self {
        Self {
            name: name.to_owned(),
            count: line.instances.len(),
            on_hours: hours(line.on),
            off_hours: hours(line.off),
            unknown_hours: hours(line.unknown),
            off_share: line.share_off().map(|share| rounded(share, 1000.0)),
            saved: priced.then(|| rounded(line.saved, 100.0)),
            unpriced_off_hours: hours(line.unpriced),
            region: the_only(&line.regions),
            account: the_only(&line.accounts),
        }
    }

    fn cells(&self) -> [String; COLUMNS.len()] {
        let text = |value: Option<f64>| value.map(|value| value.to_string()).unwrap_or_default();
        [
            self.name.clone(),
            self.count.to_string(),
            self.on_hours.to_string(),
            self.off_hours.to_string(),
            self.unknown_hours.to_string(),
            text(self.off_share),
            text(self.saved),
            self.unpriced_off_hours.to_string(),
            self.region.clone().unwrap_or_default(),
            self.account.clone().unwrap_or_default(),
        ]
    }

    fn row(&self) -> Vec<Cell> {
        let share = self.off_share.map(|share| format!("{:.1}%", share * 100.0));
        // Without any price the savings are unknown, not zero.
        let has_price = self.unpriced_off_hours < self.off_hours || self.off_hours == 0.0;
        let saved = self.saved.filter(|_| has_price);
        vec![
            self.name.clone().into(),
            count(self.count).into(),
            money::tenths(self.on_hours).into(),
            money::tenths(self.off_hours).into(),
            money::tenths(self.unknown_hours).into(),
            Cell::or_none(share),
            Cell::or_none(saved.map(money::amount)),
        ]
    }
}

fn describe(report: &SavingsReport, zone: &TimeZone, now: Timestamp) -> View {
    let mut view = View::default();
    if report.lines.is_empty() {
        view.line("the journal has no data for this period");
        return view;
    }
    let local = |at| human_time::instant(at, zone, now);
    let off = report.total.off_share;
    let off = off.map_or_else(String::new, |share| format!(" ({:.1}%)", share * 100.0));
    view.line(format!(
        "{}: off for {} h{off}, {} to {}",
        counted(report.total.count, "instance"),
        money::tenths(report.total.off_hours),
        local(report.since),
        local(report.until),
    ));
    view.gap().table(rows_table(report));
    let mut notes = View::default();
    if let Some(begun) = report.recorded_since.filter(|begun| *begun > report.since) {
        notes.line(format!("No data before {}.", local(begun)));
    }
    let unknown = money::tenths(report.total.unknown_hours);
    if unknown != "0.0" {
        notes.line(format!(
            "{unknown} h have no data and are not counted as off."
        ));
    }
    match report.total.saved {
        None => {
            notes.line("No hourly prices are configured; see [prices].");
        }
        Some(_) if report.total.unpriced_off_hours > 0.0 => {
            let hours = money::tenths(report.total.unpriced_off_hours);
            notes.line(format!(
                "{hours} h off are of types without a price in [prices]."
            ));
        }
        Some(_) => {}
    }
    if !notes.is_empty() {
        view.gap().append(notes);
    }
    view
}

fn rows_table(report: &SavingsReport) -> Table {
    // Only rows of instances have a region and an account; other rows group several.
    let is_placed = report.by == grouping_name(By::Instance);
    let several_regions = is_placed && report.total.region.is_none();
    let several_accounts = is_placed && report.total.account.is_none();
    let mut columns = vec![Column::text(report.by)];
    let numbers = ["instances", "on h", "off h", "unknown h", "off"];
    columns.extend(numbers.map(Column::number));
    columns.push(Column::number(&format!("saved {}", report.currency)));
    columns.extend(several_regions.then(|| Column::optional("region")));
    columns.extend(several_accounts.then(|| Column::optional("account")));
    let rows = report.lines.iter().chain([&report.total]);
    let rows = rows.map(|row| {
        let mut cells = row.row();
        cells.extend(several_regions.then(|| Cell::or_none(row.region.as_ref())));
        cells.extend(several_accounts.then(|| Cell::or_none(row.account.as_ref())));
        cells
    });
    Table::new(columns, rows)
}

fn the_only(locations: &BTreeSet<impl ToString>) -> Option<String> {
    let mut locations = locations.iter();
    let first = locations.next().filter(|_| locations.len() == 0)?;
    Some(first.to_string())
}

fn hours(length: SignedDuration) -> f64 {
    rounded(length.as_secs_f64() / 3600.0, 100.0)
}

fn rounded(value: f64, parts: f64) -> f64 {
    (value * parts).round() / parts
}
