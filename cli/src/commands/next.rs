//! `curfew next`: lists the next edges.

use clap::Args;
use curfew_config::Configuration;
use curfew_core::schedule::{Schedule, ScheduleName, known_schedules};
use curfew_core::time_expression::{TimeDirection, TimeExpression};
use curfew_core::timetable::{Action, Edge};
use jiff::Timestamp;
use serde::Serialize;

use crate::output::table;
use crate::time_arg;
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

#[derive(Serialize)]
struct NextEdge {
    schedule: ScheduleName,
    action: Action,
    at: Timestamp,
    local: String,
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
            local: at
                .to_zoned(timetable.time_zone().clone())
                .strftime("%Y-%m-%dT%H:%M:%S%:z[%Q]")
                .to_string(),
        })
    };
    let mut edges: Vec<NextEdge> = schedules.iter().flat_map(coming).collect();
    edges.sort_by(|a, b| (a.at, &a.schedule).cmp(&(b.at, &b.schedule)));
    edges.truncate(args.count);
    context.output.print(&edges, |edges| {
        let row = |edge: &NextEdge| {
            vec![
                edge.at.to_string(),
                edge.local.clone(),
                edge.action.to_string(),
                edge.schedule.to_string(),
            ]
        };
        if edges.is_empty() {
            "no edges".to_owned()
        } else {
            table(
                &["at", "local", "action", "schedule"],
                edges.iter().map(row),
            )
        }
    })
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
        })
}
