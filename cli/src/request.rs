//! What people ask for beyond the schedules: what `curfew start`, `stop` and `resume` have in common.

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
use crate::everywhere::{self, Placed, Places, Unanswered, failure};
use crate::output::{Reader, moment_here, or_dash, table_for};
use crate::progress;
use crate::targets::TargetArgs;
use crate::{CliError, Context, Exit};

/// Which instances, and for how long.
#[derive(Debug, Args)]
pub(crate) struct ChangeArgs {
    #[command(flatten)]
    request: RequestArgs,
    /// Hold them there for a length of time: 90m, 2h, 1d [default: until the next edge]
    #[arg(long = "for", value_name = "LENGTH", value_parser = duration, conflicts_with = "until")]
    length: Option<SignedDuration>,
    /// Hold them there until then: 22:00 or 2026-11-23T22:00 in the schedule's zone, or 2026-11-23T22:00:00Z
    #[arg(long, value_name = "WHEN")]
    until: Option<OverrideEnd>,
}

/// Which instances, by whom, and whether in earnest.
#[derive(Debug, Args)]
pub(crate) struct RequestArgs {
    #[command(flatten)]
    targets: TargetArgs,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
    /// Who asks, as the instance's tag and the journal will name it [default: the user and the host]
    #[arg(long, value_name = "WHO")]
    by: Option<String>,
}

/// Starts or stops them, and overrides them there as long as `args` say.
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

/// What became of a request.
struct Changes {
    at: Timestamp,
    instances: Vec<Change>,
}

/// The same for programs.
#[derive(Serialize)]
struct Document<'a> {
    at: Timestamp,
    instances: Vec<Placed<'a, Change>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unanswered: Vec<Unanswered>,
}

/// Carries out what is asked of the instances that `args` name.
pub(crate) async fn carry_out(
    context: &mut Context,
    args: RequestArgs,
    ask: impl FnOnce(&Selection<'_, '_>, Timestamp) -> Result<RequestKind, CliError>,
) -> Result<(), CliError> {
    let (configuration, organisation) = context.organisation().await?;
    let progress = progress::for_watchers();
    let scope = args.targets.scope();
    let everywhere::Seen {
        fleet,
        places,
        failures,
    } = everywhere::observe(&organisation, &scope, progress.as_ref()).await?;
    let targets = InstanceSelector::from(args.targets);
    let is_there = |id: &InstanceId| fleet.instances.iter().any(|one| one.id == *id);
    let found = !targets.are_unnamed() && targets.ids.iter().all(is_there);
    let failures = if found {
        failures
    } else {
        // What is meant may be where nobody answered.
        all_answered(failures)?;
        Vec::new()
    };
    let now = context.clock.now();
    let world = World::unasked(&configuration.schedule_set, &fleet.instances);
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
    let wish = (ask(&selection, now)?, by(args.by.as_deref()));
    let request =
        DecidedRequest::decide(&selection, &configuration.schedule_set, &fleet, wish, now);
    let mut outcomes = Vec::new();
    let instances = if args.dry_run {
        request.dry_run()
    } else {
        outcomes = everywhere::carry_out_request(&request, &context.clock, progress.as_ref()).await;
        request.changes(&outcomes, ToString::to_string)
    };
    drop(progress);
    let changes = Changes {
        at: whole_second(now),
        instances,
    };
    let reader = context.output.reader();
    let document = Document {
        at: changes.at,
        instances: places.placed(&changes.instances, |change| &change.id),
        unanswered: Unanswered::all(&failures),
    };
    context
        .output
        .print(&document, |_| describe(&changes, &places, reader))?;
    failure(&outcomes)?;
    refused(&changes, request.first_skip())?;
    all_answered(failures)
}

/// A request that came to nothing at all.
fn refused(changes: &Changes, first: Option<&Skip>) -> Result<(), CliError> {
    let nothing = changes
        .instances
        .iter()
        .all(|change| change.result == Verdict::Skipped);
    match first {
        Some(skip) if nothing => Err(CliError::new(
            Exit::NothingMatched,
            format!(
                "nothing was done about `{}`: {}",
                skip.instance, skip.detail
            ),
        )),
        _ => Ok(()),
    }
}

/// A wall time means the zone of the schedules that manage the instances: theirs is the clock that everybody looks at.
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
                "`--until` names a time on the clock, and these instances are managed in {} zones: {}",
                several.len(),
                names.join(", ")
            );
            Err(CliError::new(Exit::Usage, message).hint(
                "write an instant, such as 2026-11-23T22:00:00+01:00, or a length with --for",
            ))
        }
    }
}

/// `--by`, or else the user and the host: whoever reads the tag next month knows where to ask.
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

fn describe(changes: &Changes, places: &Places, reader: Reader) -> String {
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
            word(change.result),
            change.reason.clone(),
            or_dash(override_),
            or_dash(next),
        ];
        places.row(&change.id, row)
    };
    let header = places.header(&[
        "instance",
        "name",
        "before",
        "result",
        "reason",
        "override",
        "next edge",
    ]);
    table_for(reader, &header, changes.instances.iter().map(row))
}

/// The word that is in the JSON too.
fn word(verdict: Verdict) -> String {
    let word = serde_json::to_value(verdict).expect("a verdict is a word");
    word.as_str().expect("a verdict is a word").to_owned()
}
