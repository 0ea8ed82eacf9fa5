//! The shared implementation of `curfew start`, `stop` and `resume`.

use std::collections::BTreeSet;

use clap::Args;
use curfew_aws::decided_request::DecidedRequest;
use curfew_aws::organisation::{AccountRegionError, ObservedFleet};
use curfew_aws::request_result::{Change, Verdict};
use curfew_config::Configuration;
use curfew_core::error_code::ErrorCode;
use curfew_core::human_time;
use curfew_core::instance::InstanceId;
use curfew_core::request::{RequestDuration, RequestKind};
use curfew_core::select::{
    EvaluatedInstance, InstanceSelector, Selection, SeveralTimeZones, for_change,
};
use curfew_core::skip::Skip;
use curfew_core::state_tags::{Actor, Cause, whole_second};
use curfew_core::step::{Step, StepAction};
use curfew_core::time_expression::TimeExpression;
use curfew_core::world::World;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;

use crate::alike;
use crate::confirm::{ConfirmArgs, Confirmation, MAX_UNCONFIRMED, Prompt, UnconfirmedChange};
use crate::error::{all_answered, selecting};
use crate::fleet_view::{
    self, FleetView, InstanceLocations, InstanceZones, UnansweredRegionDocument, WithAccount,
    failure, unanswered,
};
use crate::output::{count, counted, override_text, tally};
use crate::output_target::OutputTarget;
use crate::progress;
use crate::table::{ATTENTION, Cell, Column, Table, state_style};
use crate::targets::TargetArgs;
use crate::view::View;
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
    unanswered: Vec<UnansweredRegionDocument>,
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
    let shown = ShownChanges {
        now: changes.at,
        locations: &locations,
        zones: &InstanceZones::of(&configuration.schedule_set, &fleet.instances),
        actor: &wanted.actor,
    };
    let document = ChangesDocument {
        at: changes.at,
        instances: locations.with_accounts(&changes.instances, |change| &change.id),
        unanswered: unanswered(&failures),
    };
    let target = context.output.target();
    context
        .output
        .print(&document, |_| describe(&changes, &shown, target))?;
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
    let zone = selection.time_zone().map_err(|several| {
        let message = format!("`{option}` is {several}");
        CliError::new(Exit::Usage, message)
            .hint(SeveralTimeZones::HINT)
            .coded(ErrorCode::BadTime)
    })?;
    Ok(zone.unwrap_or_else(TimeZone::system))
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

/// Formats a summary and a row for each instance. A terminal gets groups of what is alike if there are many.
fn describe(changes: &RequestedChanges, shown: &ShownChanges<'_>, target: OutputTarget) -> View {
    let mut view = View::default();
    let results = changes.instances.iter().map(result);
    view.line(format!(
        "{}: {}",
        counted(changes.instances.len(), "instance"),
        tally(results)
    ));
    let mut all: Vec<&Change> = changes.instances.iter().collect();
    let label = |change: &Change| alike::label(&change.id, change.name.as_ref());
    all.sort_by(|a, b| alike::by_name(&label(a), &label(b)));
    if target.groups() && all.len() > alike::SHOWN {
        let groups = alike::grouped(all, |change| {
            let next = shown.next(change).map(|next| format!(", next: {next}"));
            let remark = shown.remark(change).map(|remark| format!(" ({remark})"));
            let details = [next, remark].map(Option::unwrap_or_default).concat();
            result(change) + &details
        });
        view.gap();
        alike::list(
            &mut view,
            &groups,
            |what, group| alike::named(what, group.iter().map(|change| label(change))),
            "`curfew status -o wide` shows all",
        );
    } else {
        view.gap().table(shown.table(&all));
    }
    view
}

/// What the output needs besides the changes.
struct ShownChanges<'a> {
    now: Timestamp,
    locations: &'a InstanceLocations,
    zones: &'a InstanceZones,
    actor: &'a Actor,
}

impl ShownChanges<'_> {
    fn table(&self, changes: &[&Change]) -> Table {
        let columns = self.locations.columns([
            Column::whole("instance"),
            Column::text("name"),
            Column::whole("result"),
            Column::whole("next"),
            Column::optional("when"),
            Column::wide("before"),
            Column::wide("after"),
            Column::remark("note"),
        ]);
        let rows = changes.iter();
        let rows = rows.map(|change| self.locations.row(&change.id, self.row(change)));
        Table::new(columns, rows).with_common_remarks(alike::examples)
    }

    fn row(&self, change: &Change) -> Vec<Cell> {
        let when = change.next;
        let when = when.map(|edge| human_time::distance(edge.at, self.now));
        let is_bad = matches!(
            change.result,
            Verdict::Failed | Verdict::Recorded | Verdict::Skipped
        );
        let style = if is_bad {
            ATTENTION
        } else {
            state_style(change.after)
        };
        let note = Cell::or_none(self.remark(change));
        vec![
            change.id.to_string().into(),
            Cell::or_none(change.name.as_ref()),
            Cell::from(result(change)).styled(style),
            Cell::or_none(self.next(change)),
            Cell::or_none(when),
            Cell::state(change.state),
            Cell::state(change.after),
            if is_bad { note.styled(ATTENTION) } else { note },
        ]
    }

    fn next(&self, change: &Change) -> Option<String> {
        let zone = self.zones.of_instance(&change.id);
        let next = change.next;
        next.map(|edge| {
            format!(
                "{} {}",
                edge.action,
                human_time::instant(edge.at, &zone, self.now)
            )
        })
    }

    /// Returns the override, and the reason unless it is only the request.
    fn remark(&self, change: &Change) -> Option<String> {
        let zone = self.zones.of_instance(&change.id);
        let causes = [
            Cause::Request(self.actor.clone()),
            Cause::Override(self.actor.clone()),
        ];
        let is_plain = causes
            .iter()
            .any(|cause| cause.to_string() == change.reason);
        let reason = human_time::in_sentence(&change.reason, &zone, self.now);
        let reason = (!is_plain).then(|| reason.into_owned());
        let override_ = change.override_.as_ref();
        let override_ =
            override_.map(|it| format!("override: {}", override_text(it, &zone, self.now)));
        let parts: Vec<String> = [override_, reason].into_iter().flatten().collect();
        (!parts.is_empty()).then(|| parts.join("; "))
    }
}

/// Formats the result of a request for one instance: `stopped`, or `would stop` if it was not made.
fn result(change: &Change) -> String {
    match (change.result, change.action) {
        (Verdict::Planned, None | Some(StepAction::Record)) => {
            format!("would stay {}", change.state)
        }
        (Verdict::Planned, Some(action)) => format!("would {action}"),
        (result, _) => {
            let result = serde_json::to_value(result).expect("a verdict is a word");
            result.as_str().expect("a verdict is a word").to_owned()
        }
    }
}
