//! `curfew next` and `curfew explain`: questions about time.

use clap::Args;
use curfew_core::assess::{Assessment, assess};
use curfew_core::instance::InstanceId;
use curfew_core::plan::{Decision, Skip, Step, World};
use curfew_core::schedule::{Schedule, ScheduleName};
use curfew_core::timetable::{Action, Desired, Edge};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::error::all_answered;
use super::fleet::place;
use super::output::{moment, or_dash, table};
use super::{CliError, Context, Exit};
use crate::settings::Settings;
use curfew_aws::execute::Deadline;
use curfew_aws::fleet::Scope;
use curfew_aws::organisation::Organisation;

/// Which edges to list.
#[derive(Debug, Args)]
pub(super) struct NextArgs {
    /// Only this schedule [default: all]
    #[arg(long, value_name = "NAME")]
    schedule: Option<ScheduleName>,
    /// Edges after this instant [default: now]
    #[arg(long, value_name = "INSTANT")]
    from: Option<Timestamp>,
    /// How many
    #[arg(long, default_value_t = 10, value_name = "N")]
    count: usize,
}

/// What to explain.
#[derive(Debug, Args)]
pub(super) struct ExplainArgs {
    /// An instance [default: --schedule]
    #[arg(required_unless_present = "schedule", conflicts_with = "schedule")]
    instance: Option<InstanceId>,
    /// A schedule; needs no credentials
    #[arg(long, value_name = "NAME")]
    schedule: Option<ScheduleName>,
    /// At this instant [default: now]
    #[arg(long, value_name = "INSTANT")]
    at: Option<Timestamp>,
}

#[derive(Serialize)]
struct Coming {
    schedule: ScheduleName,
    action: Action,
    at: Timestamp,
    local: String,
}

pub(super) fn next(context: &mut Context, args: &NextArgs) -> Result<(), CliError> {
    let settings = context.settings()?;
    let from = args.from.unwrap_or_else(|| context.clock.now());
    let schedules: Vec<&Schedule> = match &args.schedule {
        Some(name) => vec![named(&settings, name)?],
        None => settings.governance.schedules.values().collect(),
    };
    let coming = |schedule: &&Schedule| {
        let (name, timetable) = (schedule.name.clone(), schedule.timetable.clone());
        let edges: Vec<Edge> = timetable.edges(from).take(args.count).collect();
        edges.into_iter().map(move |Edge { at, action }| Coming {
            schedule: name.clone(),
            action,
            at,
            local: at
                .to_zoned(timetable.time_zone().clone())
                .strftime("%Y-%m-%dT%H:%M:%S%:z[%Q]")
                .to_string(),
        })
    };
    let mut edges: Vec<Coming> = schedules.iter().flat_map(coming).collect();
    edges.sort_by(|a, b| (a.at, &a.schedule).cmp(&(b.at, &b.schedule)));
    edges.truncate(args.count);
    context.output.print(&edges, |edges| {
        let row = |edge: &Coming| {
            vec![
                edge.at.to_string(),
                edge.local.clone(),
                edge.action.to_string(),
                edge.schedule.to_string(),
            ]
        };
        if edges.is_empty() {
            "no edges: nothing is ever started or stopped".to_owned()
        } else {
            table(
                &["at", "local", "action", "schedule"],
                edges.iter().map(row),
            )
        }
    })
}

#[derive(Serialize)]
struct ScheduleExplained {
    schedule: ScheduleName,
    at: Timestamp,
    desired: Desired,
    because: String,
    last_edge: Option<Edge>,
    next_edge: Option<Edge>,
}

#[derive(Serialize)]
struct InstanceExplained {
    instance: InstanceId,
    name: Option<String>,
    state: String,
    at: Timestamp,
    schedule: Option<ScheduleName>,
    desired: Desired,
    because: Option<String>,
    hold: Option<String>,
    last: Option<String>,
    next_edge: Option<Edge>,
    step: Option<Step>,
    skip: Option<Skip>,
    verdict: String,
}

pub(super) async fn explain(context: &mut Context, args: ExplainArgs) -> Result<(), CliError> {
    let settings = context.settings()?;
    let at = args.at.unwrap_or_else(|| context.clock.now());
    match args.instance {
        Some(id) => explain_instance(context, &settings, id, at).await,
        None => {
            let name = args.schedule.expect("clap asks for one or the other");
            explain_schedule(context, named(&settings, &name)?, at)
        }
    }
}

fn explain_schedule(
    context: &mut Context,
    schedule: &Schedule,
    at: Timestamp,
) -> Result<(), CliError> {
    let timetable = &schedule.timetable;
    let explained = ScheduleExplained {
        schedule: schedule.name.clone(),
        at,
        desired: timetable.desired(at),
        because: timetable.because(at),
        last_edge: timetable.last_edge(at),
        next_edge: timetable.next_edge(at),
    };
    context.output.print(&explained, |it| {
        let edge = |edge: Option<Edge>| {
            or_dash(
                edge.map(|e| format!("{} {}", e.action, moment(e.at, timetable.time_zone(), at))),
            )
        };
        format!(
            "{} wants its instances {} at {}\n  because    {}\n  last edge  {}\n  next edge  {}",
            it.schedule,
            it.desired,
            at.to_zoned(timetable.time_zone().clone())
                .strftime("%a %d %b %Y %H:%M:%S %Z"),
            it.because,
            edge(it.last_edge),
            edge(it.next_edge),
        )
    })
}

async fn explain_instance(
    context: &mut Context,
    settings: &Settings,
    id: InstanceId,
    at: Timestamp,
) -> Result<(), CliError> {
    let connection = context.connect(settings).await?;
    let organisation = Organisation::open(&connection, &settings.membership);
    let scope = Scope::Only([id.clone()].into());
    let survey = organisation.observe(&scope, Deadline::NONE).await;
    let found: Vec<_> = survey
        .answers
        .into_iter()
        .flat_map(|(_, found)| found)
        .collect();
    let Some(instance) = found.first() else {
        // It may be where nobody answered.
        all_answered(survey.failures)?;
        let message = format!("there is no instance `{id}` in {}", place(&organisation));
        return Err(CliError::new(Exit::NothingMatched, message)
            .hint("check the id, the region and the account"));
    };
    let world = World::unasked(&settings.governance, &found);
    let Assessment {
        schedule,
        hold,
        last,
        desired,
        next_edge,
        decision,
        ..
    } = assess(instance, &world, at);
    let (step, skip, verdict) = match &decision {
        Decision::Step(step) => (
            Some(step.clone()),
            None,
            format!("{}, {}", step.action, step.cause),
        ),
        Decision::Skip(skip) => (
            None,
            Some(skip.clone()),
            format!("nothing: {}", skip.detail),
        ),
    };
    let zone = schedule
        .as_ref()
        .map_or(jiff::tz::TimeZone::UTC, |schedule| {
            schedule.timetable.time_zone().clone()
        });
    let explained = InstanceExplained {
        instance: id,
        name: instance.name().map(str::to_owned),
        state: instance.state.to_string(),
        at,
        because: schedule
            .as_ref()
            .map(|schedule| schedule.timetable.because(at)),
        schedule: schedule.map(|schedule| schedule.name.clone()),
        desired,
        hold: hold.map(|hold| hold.to_string()),
        last: last.map(|last| last.to_string()),
        next_edge,
        step,
        skip,
        verdict,
    };
    context.output.print(&explained, |it| {
        let edge = it.next_edge.map(|edge| format!("{} {}", edge.action, moment(edge.at, &zone, at)));
        format!(
            "{} ({}) is {}\n  schedule   {}\n  hold       {}\n  applied    {}\n  desired    {}\n  because    {}\n  a pass now {}\n  next edge  {}",
            it.instance,
            or_dash(it.name.as_ref()),
            it.state,
            or_dash(it.schedule.as_ref()),
            or_dash(it.hold.as_ref()),
            or_dash(it.last.as_ref()),
            it.desired,
            or_dash(it.because.as_ref()),
            it.verdict,
            or_dash(edge),
        )
    })
}

/// The schedule of that name, or an error that lists the names there are.
pub(super) fn named<'a>(
    settings: &'a Settings,
    name: &ScheduleName,
) -> Result<&'a Schedule, CliError> {
    settings.governance.schedules.get(name).ok_or_else(|| {
        let known: Vec<String> = settings
            .governance
            .schedules
            .keys()
            .map(|known| format!("`{known}`"))
            .collect();
        let hint = if known.is_empty() {
            "the settings have no schedules".into()
        } else {
            format!("there is {}", known.join(", "))
        };
        CliError::new(
            Exit::NothingMatched,
            format!("there is no schedule `{name}`"),
        )
        .hint(hint)
    })
}

/// Until when something lasts: from now for a length of time, or until an instant.
pub(super) fn until(
    length: Option<&str>,
    at: Option<Timestamp>,
    now: Timestamp,
) -> Result<Option<Timestamp>, CliError> {
    let usage = |message: String| CliError::new(Exit::Usage, message);
    let length: Option<SignedDuration> = length
        .map(curfew_core::settings::duration)
        .transpose()
        .map_err(usage)?;
    let until = length
        .and_then(|length| now.checked_add(length).ok())
        .or(at);
    match until {
        Some(until) if until <= now => Err(usage(format!("`--until {until}` is over already"))),
        until => Ok(until),
    }
}
