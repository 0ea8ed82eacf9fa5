//! `curfew next`: lists the next edges.

use clap::Args;
use curfew_config::Configuration;
use curfew_core::error_code::ErrorCode;
use curfew_core::human_time;
use curfew_core::schedule::{Schedule, ScheduleName, known_schedules};
use curfew_core::time_expression::{TimeDirection, TimeExpression};
use curfew_core::timetable::{Action, Edge};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;

use crate::table::{Cell, Column, Table};
use crate::time_arg;
use crate::view::View;
use crate::{CliError, Context, Exit};

/// The options of `next`.
#[derive(Debug, Args)]
pub(crate) struct NextArgs {
    /// List only the edges of this schedule [default: all]
    #[arg(long, value_name = "NAME")]
    schedule: Option<ScheduleName>,
    /// List edges after this time, such as friday or 2026-12-24 [default: now]
    #[arg(long, value_name = "WHEN")]
    from: Option<TimeExpression>,
    /// Number of edges
    #[arg(long, default_value_t = 10, value_name = "N")]
    count: usize,
}

#[derive(Serialize, schemars::JsonSchema)]
pub(crate) struct NextEdge {
    /// The name of the schedule.
    schedule: ScheduleName,
    /// What the edge does.
    action: Action,
    /// The instant of the edge.
    at: Timestamp,
    /// The same instant in the schedule's time zone, with the zone's offset and name.
    local: String,
    #[serde(skip)]
    zone: TimeZone,
}

/// The JSON output.
/// The next edges.
#[derive(Serialize, schemars::JsonSchema)]
pub(crate) struct NextEdges {
    /// The edges in the order of their instants.
    edges: Vec<NextEdge>,
}

pub(crate) fn next(context: &mut Context, args: &NextArgs) -> Result<(), CliError> {
    let configuration = context.configuration()?;
    let now = context.clock.now();
    let zone = time_arg::zone(&configuration, args.schedule.as_ref());
    let from = args
        .from
        .map(|when| time_arg::instant("--from", when, TimeDirection::Future, &zone, now));
    let from = from.transpose()?.unwrap_or(now);
    let schedules: Vec<&Schedule> = match &args.schedule {
        Some(name) => vec![named(&configuration, name)?],
        None => configuration.schedule_set.schedules.values().collect(),
    };
    let coming = |schedule: &&Schedule| {
        let (name, timetable) = (schedule.name.clone(), schedule.timetable.clone());
        let edges: Vec<Edge> = timetable.edges(from).take(args.count).collect();
        edges.into_iter().map(move |Edge { at, action }| NextEdge {
            schedule: name.clone(),
            action,
            at,
            local: at.to_zoned(timetable.time_zone().clone()).to_string(),
            zone: timetable.time_zone().clone(),
        })
    };
    let mut edges: Vec<NextEdge> = schedules.iter().flat_map(coming).collect();
    edges.sort_by(|a, b| (a.at, &a.schedule).cmp(&(b.at, &b.schedule)));
    edges.truncate(args.count);
    let is_from_now = args.from.is_none();
    context.output.print(&NextEdges { edges }, |listed| {
        describe(&listed.edges, now, is_from_now)
    })
}

/// Formats the edges in the zones of their schedules. Only edges from now on have their distance from `now`.
fn describe(edges: &[NextEdge], now: Timestamp, is_from_now: bool) -> View {
    let mut view = View::default();
    if edges.is_empty() {
        view.line("no edges");
        return view;
    }
    let row = |edge: &NextEdge| {
        let distance = is_from_now.then(|| human_time::distance(edge.at, now));
        let mut row = vec![
            Cell::from(human_time::instant(edge.at, &edge.zone, now)),
            edge.action.to_string().into(),
            edge.schedule.to_string().into(),
        ];
        row.extend(distance.map(Cell::from));
        row
    };
    let mut columns = vec![
        Column::whole("at"),
        Column::whole("action"),
        Column::text("schedule"),
    ];
    columns.extend(is_from_now.then(|| Column::whole("when")));
    view.table(Table::new(columns, edges.iter().map(row)));
    view
}

/// Returns the schedule `name`. Fails with a list of the known names if there is none.
pub(crate) fn named<'a>(
    configuration: &'a Configuration,
    name: &ScheduleName,
) -> Result<&'a Schedule, CliError> {
    configuration
        .schedule_set
        .schedules
        .get(name)
        .ok_or_else(|| {
            let known: Vec<ScheduleName> = configuration
                .schedule_set
                .schedules
                .keys()
                .cloned()
                .collect();
            CliError::new(
                Exit::NothingMatched,
                format!("there is no schedule `{name}`"),
            )
            .hint(known_schedules(&known))
            .coded(ErrorCode::UnknownSchedule)
        })
}
