//! `curfew explain`: the desired state of a schedule or an instance, and the reason.

use clap::Args;
use curfew_aws::fleet::Scope;
use curfew_config::Configuration;
use curfew_core::explain::Explanation;
use curfew_core::human_time;
use curfew_core::instance::InstanceId;
use curfew_core::schedule::{Schedule, ScheduleName};
use curfew_core::select::InstanceTarget;
use curfew_core::time_expression::{TimeDirection, TimeExpression};
use curfew_core::timetable::{Desired, Edge};
use curfew_core::world::World;
use curfew_journal::{HistoryFilter, Journal, JournalEntry, JournalError};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;

use super::next::named;
use crate::error::all_answered;
use crate::fleet_view;
use crate::output::{or_dash, override_text};
use crate::progress;
use crate::view::View;
use crate::{CliError, Context, time_arg};

/// The options of `explain`.
#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// ID or name of an instance (or use --schedule)
    #[arg(required_unless_present = "schedule", conflicts_with = "schedule")]
    instance: Option<InstanceTarget>,
    /// Schedule name (no credentials needed)
    #[arg(long, value_name = "NAME")]
    schedule: Option<ScheduleName>,
    /// Explain the state at this time, such as "friday 18:00" [default: now]
    #[arg(long, value_name = "WHEN")]
    at: Option<TimeExpression>,
}

pub(crate) async fn explain(context: &mut Context, args: ExplainArgs) -> Result<(), CliError> {
    match args.instance {
        Some(target) => instance(context, target, args.at).await,
        None => {
            let configuration = context.configuration()?;
            let name = args
                .schedule
                .expect("clap requires an instance or a schedule");
            let found = named(&configuration, &name)?;
            let at = resolved(context, args.at, found.timetable.time_zone())?;
            schedule(context, found, at)
        }
    }
}

/// Resolves `--at` in the zone of the schedule.
fn resolved(
    context: &Context,
    at: Option<TimeExpression>,
    zone: &TimeZone,
) -> Result<Timestamp, CliError> {
    let now = context.clock.now();
    let at = at.map(|when| time_arg::instant("--at", when, TimeDirection::Future, zone, now));
    Ok(at.transpose()?.unwrap_or(now))
}

/// The desired state of a schedule at an instant, and the reason.
#[derive(Serialize, schemars::JsonSchema)]
pub(crate) struct ScheduleExplained {
    /// The name of the schedule.
    schedule: ScheduleName,
    /// The explained instant.
    at: Timestamp,
    /// The desired state at that instant.
    desired: Desired,
    /// The reason for the desired state: one sentence.
    reason: String,
    /// The newest edge at that instant.
    last_edge: Option<Edge>,
    /// The next edge after that instant.
    next: Option<Edge>,
}

fn schedule(context: &mut Context, schedule: &Schedule, at: Timestamp) -> Result<(), CliError> {
    let timetable = &schedule.timetable;
    let explained = ScheduleExplained {
        schedule: schedule.name.clone(),
        at,
        desired: timetable.desired(at),
        reason: timetable.reason(at),
        last_edge: timetable.last_edge(at),
        next: timetable.next_edge(at),
    };
    let zone = timetable.time_zone();
    let now = context.clock.now();
    context.output.print(&explained, |it| {
        let mut view = View::default();
        view.line(format!(
            "{} wants its instances {} at {}",
            it.schedule,
            it.desired,
            human_time::instant(at, zone, now)
        ));
        fact(&mut view, "because", &it.reason);
        fact(&mut view, "last edge", edge(it.last_edge, zone, at));
        fact(&mut view, "next edge", edge(it.next, zone, at));
        view
    })
}

/// Adds a labelled line.
fn fact(view: &mut View, label: &str, value: impl AsRef<str>) {
    view.item(format!("  {label:<10} "), value);
}

/// The explanation of an instance, and its transitions from the journal.
#[derive(Serialize, schemars::JsonSchema)]
pub(crate) struct InstanceExplained {
    #[serde(flatten)]
    explanation: Explanation,
    /// The last transitions, oldest first; null if this machine has no journal.
    transitions: Option<Vec<JournalEntry>>,
}

async fn instance(
    context: &mut Context,
    target: InstanceTarget,
    at: Option<TimeExpression>,
) -> Result<(), CliError> {
    let (configuration, organisation) = context.organisation().await?;
    let scope = match &target {
        InstanceTarget::Id(id) => Scope::Only([id.clone()].into()),
        InstanceTarget::Name(_) => Scope::All,
    };
    let fleet = {
        let progress = progress::if_terminal();
        fleet_view::observe(&organisation, &scope, progress.as_ref()).await?
    };
    let found = fleet.fleet.instances;
    if matches!(target, InstanceTarget::Name(_)) || found.is_empty() {
        // The instance, or another one with its name, may be in an account-region that failed.
        all_answered(fleet.failures)?;
    }
    let instance = target.find(&found).map_err(|error| {
        let is_absent = error.claims_absence();
        let error = CliError::from(error);
        if is_absent {
            error.within(&fleet_view::place(&organisation))
        } else {
            error
        }
    })?;
    let id = instance.id.clone();
    let world = World::without_request(&configuration.schedule_set, &found);
    let zone = configuration
        .schedule_set
        .schedule_for(instance)
        .map_or(TimeZone::UTC, |schedule| {
            schedule.timetable.time_zone().clone()
        });
    let at = resolved(context, at, &zone)?;
    let explained = InstanceExplained {
        explanation: Explanation::of(instance, &world, at),
        transitions: transitions(&configuration, &id)?,
    };
    context
        .output
        .print(&explained, |explained| describe(explained, &zone))
}

/// Reads the last transitions of an instance. Returns `None` if this machine has no journal.
fn transitions(
    configuration: &Configuration,
    id: &InstanceId,
) -> Result<Option<Vec<JournalEntry>>, CliError> {
    /// About a day of scheduled transitions and overrides.
    const SHOWN: u32 = 5;
    let journal = match Journal::read(&configuration.state_dir()) {
        Err(JournalError::Missing { .. }) => return Ok(None),
        journal => journal?,
    };
    let filter = HistoryFilter {
        instances: vec![id.to_string()],
        limit: Some(SHOWN),
        ..HistoryFilter::default()
    };
    Ok(Some(journal.history(&filter)?))
}

fn describe(explained: &InstanceExplained, zone: &TimeZone) -> View {
    let InstanceExplained {
        explanation: it,
        transitions,
    } = explained;
    let moment = |at| human_time::with_distance(at, zone, it.at);
    let managed = match (&it.schedule, &it.managed) {
        (Some(name), Some(claim)) if it.enforce => format!("{name}, enforced: {claim}"),
        (Some(name), Some(claim)) => format!("{name}: {claim}"),
        _ => "-".to_owned(),
    };
    let override_ = it.override_.as_ref();
    let override_ = override_.map(|override_| override_text(override_, zone, it.at));
    let last = it.last.as_ref().map(|last| {
        let pending = if last.pending {
            ", not confirmed yet"
        } else {
            ""
        };
        format!(
            "{} {}, {}{pending}",
            last.action,
            moment(last.at),
            last.cause
        )
    });
    let because = match &it.reason {
        Some(because) => format!("{}: {because}", it.desired),
        None => it.desired.to_string(),
    };
    let mut lines = vec![
        ("schedule", managed),
        ("override", or_dash(override_)),
        ("applied", or_dash(last)),
        ("desired", because),
        (
            "now",
            human_time::in_sentence(&it.verdict, zone, it.at).into_owned(),
        ),
        ("last edge", edge(it.last_edge, zone, it.at)),
        ("next edge", edge(it.next_edge, zone, it.at)),
    ];
    if let Some(retry) = &it.retry {
        let tries = format!(
            "{} failed {} times, last with {}; next attempt {}",
            retry.action,
            retry.attempts,
            retry.code,
            moment(retry.next_attempt_at)
        );
        lines.push(("retry", tries));
    }
    if let Some(fallback) = &it.fallback {
        let type_ = format!(
            "{} until {} is available again",
            fallback.current_type, fallback.desired_type
        );
        lines.push(("type", type_));
    }
    match transitions {
        None => lines.push(("journal", "none on this machine".to_owned())),
        Some(entries) if entries.is_empty() => {
            lines.push(("journal", "no transitions yet".to_owned()));
        }
        Some(entries) => lines.extend(entries.iter().map(|JournalEntry { transition, .. }| {
            let (from, to, cause) = (transition.from, transition.to, &transition.cause);
            (
                "was",
                format!("{from} → {to} {}, {cause}", moment(transition.at)),
            )
        })),
    }
    let mut view = View::default();
    view.line(format!(
        "{} ({}) is {}, in {} of account {}",
        it.instance,
        or_dash(it.name.as_ref()),
        it.state,
        it.region,
        it.account
    ));
    for (label, value) in &lines {
        fact(&mut view, label, value);
    }
    view
}

fn edge(edge: Option<Edge>, zone: &TimeZone, now: Timestamp) -> String {
    let moment = |at| human_time::with_distance(at, zone, now);
    or_dash(edge.map(|edge| format!("{} {}", edge.action, moment(edge.at))))
}
