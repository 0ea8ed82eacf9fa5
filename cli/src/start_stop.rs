//! The shared implementation of `curfew start`, `stop` and `resume`.

use clap::Args;
use curfew_aws::change::{Change, Verdict};
use curfew_aws::decided_request::DecidedRequest;
use curfew_core::configuration::duration;
use curfew_core::instance::InstanceId;
use curfew_core::request::{OverrideEnd, RequestDuration, RequestKind};
use curfew_core::select::{EvaluatedInstance, InstanceSelector, Selection, for_change};
use curfew_core::skip::Skip;
use curfew_core::state_tags::{Actor, whole_second};
use curfew_core::world::World;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::error::{all_answered, selecting};
use crate::fleet_view::{self, InstanceLocations, UnansweredRegion, WithAccount, failure};
use crate::output::{OutputTarget, moment_here, or_dash, table_for};
use crate::progress;
use crate::targets::TargetArgs;
use crate::{CliError, Context, Exit};

/// The options of `start` and `stop`.
#[derive(Debug, Args)]
pub(crate) struct ChangeArgs {
    #[command(flatten)]
    request: RequestArgs,
    /// Keep the state for this long: 90m, 2h, 1d [default: until the next edge]
    #[arg(long = "for", value_name = "LENGTH", value_parser = duration, conflicts_with = "until")]
    length: Option<SignedDuration>,
    /// Keep the state until this time: 22:00 or 2026-11-23T22:00 in the zone of the schedule, or 2026-11-23T22:00:00Z
    #[arg(long, value_name = "WHEN")]
    until: Option<OverrideEnd>,
}

/// The options of every request.
#[derive(Debug, Args)]
pub(crate) struct RequestArgs {
    #[command(flatten)]
    targets: TargetArgs,
    /// Show what would change without changing it
    #[arg(long)]
    dry_run: bool,
    /// Name of the requester for the tag and the journal [default: the user and the host]
    #[arg(long, value_name = "WHO")]
    by: Option<String>,
}

/// Starts or stops the selected instances, with an override if `args` contain a duration or an end.
pub(crate) async fn change(
    context: &mut Context,
    args: ChangeArgs,
    ask: fn(RequestDuration) -> RequestKind,
) -> Result<(), CliError> {
    let ChangeArgs {
        request,
        length,
        until,
    } = args;
    carry_out(context, request, |selection, now| {
        Ok(ask(match (length, until) {
            (Some(length), _) => RequestDuration::length(length, now),
            (None, Some(end)) => lasting(end, selection, now)?,
            (None, None) => RequestDuration::NextEdge,
        }))
    })
    .await
}

/// The result of a request.
struct RequestedChanges {
    at: Timestamp,
    instances: Vec<Change>,
}

/// The JSON output of a request.
#[derive(Serialize, schemars::JsonSchema)]
pub(crate) struct ChangesDocument<'a> {
    /// The instant of the request.
    at: Timestamp,
    /// The selected instances with their results.
    instances: Vec<WithAccount<'a, Change>>,
    /// The accounts and regions that did not answer; only if there are any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default)]
    unanswered: Vec<UnansweredRegion>,
}

/// Makes a request for the instances that `args` select, executes it, and prints the result.
pub(crate) async fn carry_out(
    context: &mut Context,
    args: RequestArgs,
    ask: impl FnOnce(&Selection<'_, '_>, Timestamp) -> Result<RequestKind, CliError>,
) -> Result<(), CliError> {
    let (configuration, organisation) = context.organisation().await?;
    let progress = progress::if_terminal();
    let scope = args.targets.scope();
    let fleet_view::FleetView {
        fleet,
        locations,
        failures,
    } = fleet_view::observe(&organisation, &scope, progress.as_ref()).await?;
    let targets = InstanceSelector::from(args.targets);
    let is_there = |id: &InstanceId| fleet.instances.iter().any(|one| one.id == *id);
    let found = !targets.is_empty() && targets.ids.iter().all(is_there);
    let failures = if found {
        failures
    } else {
        // A selected instance may be in an account-region that failed.
        all_answered(failures)?;
        Vec::new()
    };
    let now = context.clock.now();
    let world = World::without_request(&configuration.schedule_set, &fleet.instances);
    let seen = EvaluatedInstance::all(&world, now);
    let selection = match for_change(
        &targets,
        &seen,
        &configuration.schedule_set,
        configuration.api.limit,
    ) {
        Ok(selection) => selection,
        Err(error) => return Err(selecting(error, failures)),
    };
    let kind = ask(&selection, now)?;
    let request = DecidedRequest::decide(
        &selection,
        &configuration.schedule_set,
        &fleet,
        (kind, by(args.by.as_deref())),
        now,
    );
    let mut outcomes = Vec::new();
    let instances = if args.dry_run {
        request.dry_run()
    } else {
        outcomes = fleet_view::carry_out_request(&request, &context.clock, progress.as_ref()).await;
        request.changes(&outcomes, ToString::to_string)
    };
    drop(progress);
    let changes = RequestedChanges {
        at: whole_second(now),
        instances,
    };
    let target = context.output.target();
    let document = ChangesDocument {
        at: changes.at,
        instances: locations.with_accounts(&changes.instances, |change| &change.id),
        unanswered: UnansweredRegion::all(&failures),
    };
    context
        .output
        .print(&document, |_| describe(&changes, &locations, target))?;
    failure(&outcomes)?;
    refused(&changes, request.first_skip())?;
    all_answered(failures)
}

/// Fails if every instance was skipped.
fn refused(changes: &RequestedChanges, first: Option<&Skip>) -> Result<(), CliError> {
    let nothing = changes
        .instances
        .iter()
        .all(|change| change.result == Verdict::Skipped);
    match first {
        Some(skip) if nothing => Err(CliError::new(
            Exit::NothingMatched,
            format!("nothing was changed: `{}`: {}", skip.instance, skip.detail),
        )),
        _ => Ok(()),
    }
}

/// Resolves the end of an override. A wall time is in the zone of the schedules that manage the instances.
fn lasting(
    end: OverrideEnd,
    selection: &Selection<'_, '_>,
    now: Timestamp,
) -> Result<RequestDuration, CliError> {
    let zone = if end.needs_zone() {
        zone(selection)?
    } else {
        TimeZone::UTC
    };
    let usage = |why: String, hint: String| {
        CliError::new(Exit::Usage, format!("`--until` is {why}")).hint(hint)
    };
    let until = end.instant(&zone, now).unwrap_or(Timestamp::MAX);
    RequestDuration::until(until, now).map_err(|bad| usage(bad.to_string(), bad.hint()))
}

fn zone(selection: &Selection<'_, '_>) -> Result<TimeZone, CliError> {
    let mut zones: Vec<TimeZone> = Vec::new();
    for seen in &selection.chosen {
        if let Some(schedule) = &seen.assessment.schedule
            && !zones.contains(schedule.timetable.time_zone())
        {
            zones.push(schedule.timetable.time_zone().clone());
        }
    }
    match zones.as_slice() {
        [] => Ok(TimeZone::UTC),
        [zone] => Ok(zone.clone()),
        several => {
            let names: Vec<&str> = several
                .iter()
                .map(|zone| zone.iana_name().unwrap_or("UTC"))
                .collect();
            let message = format!(
                "`--until` is a wall time, but the schedules of these instances use {} zones: {}",
                several.len(),
                names.join(", ")
            );
            Err(CliError::new(Exit::Usage, message).hint(
                "use an instant, such as 2026-11-23T22:00:00+01:00, or a duration with --for",
            ))
        }
    }
}

/// Returns the actor of the request: `--by`, otherwise the user and the host.
fn by(given: Option<&str>) -> Actor {
    match given {
        Some(who) => Actor::new(who),
        None => {
            let user = std::env::var("USER").or_else(|_| std::env::var("LOGNAME"));
            let user =
                user.unwrap_or_else(|_| format!("uid {}", rustix::process::getuid().as_raw()));
            let system = rustix::system::uname();
            Actor::new(&format!("{user}@{}", system.nodename().to_string_lossy()))
        }
    }
}

fn describe(
    changes: &RequestedChanges,
    locations: &InstanceLocations,
    target: OutputTarget,
) -> String {
    let row = |change: &Change| {
        let moment = |at| moment_here(at, changes.at);
        let override_ = change
            .override_
            .as_ref()
            .map(|override_| format!("{} until {}", override_.state, moment(override_.until)));
        let next = change
            .next_edge
            .map(|edge| format!("{} {}", edge.action, moment(edge.at)));
        let row = vec![
            change.id.to_string(),
            or_dash(change.name.as_ref()),
            change.before.to_string(),
            verdict_name(change.result),
            change.reason.clone(),
            or_dash(override_),
            or_dash(next),
        ];
        locations.row(&change.id, row)
    };
    let header = locations.header(&[
        "instance",
        "name",
        "before",
        "result",
        "reason",
        "override",
        "next edge",
    ]);
    table_for(target, &header, changes.instances.iter().map(row))
}

/// Returns the JSON name of the verdict.
fn verdict_name(verdict: Verdict) -> String {
    let verdict_name = serde_json::to_value(verdict).expect("a verdict is a verdict_name");
    verdict_name
        .as_str()
        .expect("a verdict is a verdict_name")
        .to_owned()
}
