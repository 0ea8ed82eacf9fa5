//! The shared implementation of `curfew start`, `stop` and `resume`.

use std::collections::BTreeSet;

use clap::Args;
use curfew_aws::change::{Change, Verdict};
use curfew_aws::decided_request::DecidedRequest;
use curfew_aws::organisation::{AccountRegionError, ObservedFleet};
use curfew_config::Configuration;
use curfew_core::error_code::ErrorCode;
use curfew_core::instance::InstanceId;
use curfew_core::request::{RequestDuration, RequestKind};
use curfew_core::select::{EvaluatedInstance, InstanceSelector, Selection, for_change};
use curfew_core::skip::Skip;
use curfew_core::state_tags::{Actor, whole_second};
use curfew_core::step::Step;
use curfew_core::time_expression::TimeExpression;
use curfew_core::world::World;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;

use crate::alike;
use crate::confirm::{ConfirmArgs, Confirmation, MAX_UNCONFIRMED, Prompt, UnconfirmedChange};
use crate::error::{all_answered, selecting};
use crate::fleet_view::{
    self, FleetView, InstanceLocations, UnansweredRegion, WithAccount, failure, unanswered,
};
use crate::output::{count, counted, moment_here, or_dash};
use crate::progress;
use crate::table::Table;
use crate::targets::TargetArgs;
use crate::{CliError, Context, Exit};

/// The options of `start` and `stop`.
#[derive(Debug, Args)]
pub(crate) struct ChangeArgs {
    #[command(flatten)]
    request: RequestArgs,
    /// Keep the state for this long, such as 90m, 2h30m or 1d [default: until the next edge]
    #[arg(long = "for", value_name = "WHEN", conflicts_with = "until")]
    length: Option<TimeExpression>,
    /// Keep the state until this time, such as 22:00, "friday 18:00" or 2026-11-27
    #[arg(long, value_name = "WHEN")]
    until: Option<TimeExpression>,
}

/// The options of every request.
#[derive(Debug, Args)]
pub(crate) struct RequestArgs {
    #[command(flatten)]
    targets: TargetArgs,
    #[command(flatten)]
    confirm: ConfirmArgs,
    /// Show what would change without changing it
    #[arg(long)]
    dry_run: bool,
    /// Name of the requester for the tag and the journal [default: the user and the host]
    #[arg(long, value_name = "ACTOR")]
    by: Option<String>,
}

/// The command of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum RequestCommand {
    Start,
    Stop,
    Resume,
}

impl RequestCommand {
    /// The action and its result for `confirm`.
    fn verbs(self) -> (&'static str, &'static str) {
        match self {
            Self::Start => ("start", "nothing was started"),
            Self::Stop => ("stop", "nothing was stopped"),
            Self::Resume => ("resume", "nothing was resumed"),
        }
    }
}

/// Starts or stops the selected instances, with an override if `args` contain its end.
pub(crate) async fn change(
    context: &mut Context,
    command: RequestCommand,
    args: ChangeArgs,
    ask: fn(RequestDuration) -> RequestKind,
) -> Result<(), CliError> {
    let ChangeArgs {
        request,
        length,
        until,
    } = args;
    let end = length.map(|end| ("--for", end));
    let end = end.or(until.map(|end| ("--until", end)));
    carry_out(context, command, request, |selection, now| {
        Ok(ask(match end {
            Some((option, end)) => lasting(option, end, selection, now)?,
            None => RequestDuration::NextEdge,
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

/// Makes a request for the instances that `args` select, executes it, and prints the result. Asks for confirmation if it changes more
/// than [`MAX_UNCONFIRMED`] instances.
pub(crate) async fn carry_out(
    context: &mut Context,
    command: RequestCommand,
    args: RequestArgs,
    ask: impl Fn(&Selection<'_, '_>, Timestamp) -> Result<RequestKind, CliError>,
) -> Result<(), CliError> {
    let (configuration, organisation) = context.organisation().await?;
    let scope = args.targets.scope();
    let wanted = WantedRequest {
        configuration: &configuration,
        targets: InstanceSelector::from(args.targets),
        actor: by(args.by.as_deref()),
        ask,
    };
    let mut progress = progress::if_terminal();
    let mut view = fleet_view::observe(&organisation, &scope, progress.as_ref()).await?;
    let mut confirmed = None;
    if !args.dry_run {
        let now = context.clock.now();
        let seen = wanted.evaluate(&view.fleet, now);
        let request = wanted.decide(&mut view.failures, &view.fleet, &seen, None, now)?;
        drop(progress);
        confirmed = confirm(command, args.confirm.confirmation(), request.steps())?;
        progress = progress::if_terminal();
    }
    if confirmed.is_some() {
        // The fleet may have changed, or an edge may have passed, while the prompt waited.
        view = fleet_view::observe(&organisation, &scope, progress.as_ref()).await?;
    }
    let FleetView {
        fleet,
        locations,
        mut failures,
    } = view;
    let now = context.clock.now();
    let seen = wanted.evaluate(&fleet, now);
    let request = wanted.decide(&mut failures, &fleet, &seen, confirmed.as_ref(), now)?;
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
    let document = ChangesDocument {
        at: changes.at,
        instances: locations.with_accounts(&changes.instances, |change| &change.id),
        unanswered: unanswered(&failures),
    };
    context
        .output
        .print(&document, |_| describe(&changes, &locations))?;
    failure(&outcomes)?;
    refused(&changes, request.first_skip())?;
    all_answered(failures)
}

/// A request before its instances are selected.
struct WantedRequest<'c, A> {
    configuration: &'c Configuration,
    targets: InstanceSelector,
    actor: Actor,
    ask: A,
}

impl<A> WantedRequest<'_, A>
where
    A: Fn(&Selection<'_, '_>, Timestamp) -> Result<RequestKind, CliError>,
{
    fn evaluate<'a>(
        &'a self,
        fleet: &'a ObservedFleet,
        now: Timestamp,
    ) -> Vec<EvaluatedInstance<'a>> {
        let world = World::without_request(&self.configuration.schedule_set, &fleet.instances);
        EvaluatedInstance::all(&world, now)
    }

    /// Selects the instances and decides about them; after a confirmation, only about those that were `confirmed`.
    fn decide<'s, 'a>(
        &'a self,
        failures: &mut Vec<AccountRegionError>,
        fleet: &'a ObservedFleet,
        seen: &'s [EvaluatedInstance<'a>],
        confirmed: Option<&BTreeSet<InstanceId>>,
        now: Timestamp,
    ) -> Result<DecidedRequest<'s, 'a>, CliError> {
        let is_there = |id: &InstanceId| fleet.instances.iter().any(|one| one.id == *id);
        let InstanceSelector { ids, names, .. } = &self.targets;
        let is_known = !self.targets.is_empty() && names.is_empty() && ids.iter().all(is_there);
        if !is_known {
            // A selected instance, or another one with its name, may be in an account-region that failed.
            all_answered(std::mem::take(failures))?;
        }
        let schedule_set = &self.configuration.schedule_set;
        let limit = self.configuration.api.limit;
        let selection = for_change(&self.targets, seen, schedule_set, limit);
        let mut selection =
            selection.map_err(|error| selecting(error, std::mem::take(failures)))?;
        if let Some(confirmed) = confirmed {
            let is_confirmed = |one: &&EvaluatedInstance<'_>| confirmed.contains(&one.instance.id);
            selection.chosen.retain(is_confirmed);
        }
        let kind = (self.ask)(&selection, now)?;
        let request = (kind, self.actor.clone());
        Ok(DecidedRequest::decide(
            &selection,
            schedule_set,
            fleet,
            request,
            now,
        ))
    }
}

/// Asks for confirmation if there are several steps. Returns the confirmed instances, or `None` if there was no question.
fn confirm(
    command: RequestCommand,
    confirmation: Confirmation,
    steps: &[Step],
) -> Result<Option<BTreeSet<InstanceId>>, CliError> {
    /// Number of instances that the question names. The rest are counted.
    const NAMED: usize = 8;
    if steps.len() <= MAX_UNCONFIRMED || confirmation == Confirmation::Assumed {
        return Ok(None);
    }
    let (verb, declined) = command.verbs();
    let mut names: Vec<String> = steps
        .iter()
        .take(NAMED)
        .map(|step| alike::label(&step.instance, step.name.as_ref()))
        .collect();
    if steps.len() > NAMED {
        names.push(format!("and {} more", count(steps.len() - NAMED)));
    }
    let instances = counted(steps.len(), "instance");
    let title = format!("{}{}", verb[..1].to_uppercase(), &verb[1..]);
    let change = UnconfirmedChange {
        action: &format!("{verb} {instances}"),
        reason: None,
        question: &format!("{title} {instances}: {}?", names.join(", ")),
        declined,
        hint: "pass --yes, or check with --dry-run first",
    };
    confirmation.require(&change, &mut Prompt::stdio())?;
    let confirmed = steps.iter().map(|step| step.instance.clone());
    Ok(Some(confirmed.collect()))
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
    option: &str,
    end: TimeExpression,
    selection: &Selection<'_, '_>,
    now: Timestamp,
) -> Result<RequestDuration, CliError> {
    let zone = if end.needs_zone() {
        zone(option, selection)?
    } else {
        TimeZone::UTC
    };
    RequestDuration::ending(end, &zone, now).map_err(|bad| {
        let error = CliError::new(Exit::Usage, format!("`{option}` is {bad}"));
        error.hint(bad.hint()).coded(ErrorCode::BadTime)
    })
}

fn zone(option: &str, selection: &Selection<'_, '_>) -> Result<TimeZone, CliError> {
    let mut zones: Vec<TimeZone> = Vec::new();
    for seen in &selection.chosen {
        if let Some(schedule) = &seen.assessment.schedule
            && !zones.contains(schedule.timetable.time_zone())
        {
            zones.push(schedule.timetable.time_zone().clone());
        }
    }
    match zones.as_slice() {
        [] => Ok(TimeZone::system()),
        [zone] => Ok(zone.clone()),
        several => {
            let names: Vec<&str> = several
                .iter()
                .map(|zone| zone.iana_name().unwrap_or("UTC"))
                .collect();
            let message = format!(
                "`{option}` is a wall time, but the schedules of these instances use {} zones: {}",
                several.len(),
                names.join(", ")
            );
            let hint =
                "use an instant, such as 2026-11-27T22:00:00+01:00, or a length, such as 2h30m";
            Err(CliError::new(Exit::Usage, message)
                .hint(hint)
                .coded(ErrorCode::BadTime))
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

fn describe(changes: &RequestedChanges, locations: &InstanceLocations) -> Table {
    let row = |change: &Change| {
        let moment = |at| moment_here(at, changes.at);
        let override_ = change
            .override_
            .as_ref()
            .map(|override_| format!("{} until {}", override_.state, moment(override_.until)));
        let next = change
            .next
            .map(|edge| format!("{} {}", edge.action, moment(edge.at)));
        let row = vec![
            change.id.to_string(),
            or_dash(change.name.as_ref()),
            change.state.to_string(),
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
    Table::of_text(&header, changes.instances.iter().map(row))
}

/// Returns the JSON name of the verdict.
fn verdict_name(verdict: Verdict) -> String {
    let verdict_name = serde_json::to_value(verdict).expect("a verdict is a verdict_name");
    verdict_name
        .as_str()
        .expect("a verdict is a verdict_name")
        .to_owned()
}
