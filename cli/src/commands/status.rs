//! `curfew status`: the same view as `/status` of the API, once or repeatedly.

use std::time::Duration;

use clap::Args;
use curfew_aws::organisation::{AccountRegionError, Organisation};
use curfew_aws::progress::{Progress, Silent};
use curfew_config::Configuration;
use curfew_core::configuration::duration;
use curfew_core::select::{EvaluatedInstance, InstanceSelector, for_status};
use curfew_core::status::{InstanceStatus, Status};
use curfew_core::timetable::Desired;
use curfew_core::world::World;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::error::{all_answered, selecting};
use crate::fleet_view::{self, InstanceLocations, UnansweredRegion, WithAccount};
use crate::output::{Output, OutputTarget, count, moment, moment_here, or_dash, table_for};
use crate::printable;
use crate::progress;
use crate::targets::TargetArgs;
use crate::{CliError, Context};

/// The options of `status`.
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    targets: TargetArgs,
    /// Refresh every 5 seconds, or at the given interval; with -o json, print one document per line
    #[arg(long, value_name = "LENGTH", num_args = 0..=1, require_equals = true, default_missing_value = "5s",
          value_parser = interval)]
    watch: Option<Duration>,
}

/// Parses the refresh interval. The minimum is one second, because EC2 limits the request rate of an account.
fn interval(text: &str) -> Result<Duration, String> {
    let length = duration(text)?;
    if length < SignedDuration::from_secs(1) {
        Err(format!("`{text}` is too short; the minimum is 1s"))
    } else {
        Ok(length.unsigned_abs())
    }
}

pub(crate) async fn status(context: &mut Context, args: StatusArgs) -> Result<(), CliError> {
    let (configuration, organisation) = context.organisation().await?;
    let progress = progress::if_terminal();
    let observe = async |progress: &dyn Progress| {
        observe(
            context,
            &configuration,
            &organisation,
            &args.targets,
            progress,
        )
        .await
    };
    let seen = observe(progress.as_ref()).await?;
    drop(progress);
    let Some(every) = args.watch else {
        return show(&mut context.output, seen);
    };
    watch(&context.output, &seen)?;
    loop {
        tokio::time::sleep(every).await;
        match observe(&Silent).await {
            Ok(seen) => watch(&context.output, &seen)?,
            // The first observation succeeded, so the error may be transient.
            Err(error) => {
                error.report(context.output.format(), &mut std::io::stderr());
            }
        }
    }
}

/// The status of the selected instances, and the zone in which to show the times of each.
struct StatusView {
    status: Status,
    zones: Vec<TimeZone>,
    locations: InstanceLocations,
    failures: Vec<AccountRegionError>,
}

/// The JSON form of a [`Status`], with accounts if several are managed.
#[derive(Serialize)]
struct StatusDocument<'a> {
    at: Timestamp,
    instances: Vec<WithAccount<'a, InstanceStatus>>,
    unmanaged: usize,
    next_edge: Option<Timestamp>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unanswered: Vec<UnansweredRegion>,
}

impl StatusView {
    fn document(&self) -> StatusDocument<'_> {
        let Status {
            at,
            instances,
            unmanaged,
            next_edge,
        } = &self.status;
        StatusDocument {
            at: *at,
            instances: self.locations.with_accounts(instances, |one| &one.id),
            unmanaged: *unmanaged,
            next_edge: *next_edge,
            unanswered: UnansweredRegion::all(&self.failures),
        }
    }
}

async fn observe(
    context: &Context,
    configuration: &Configuration,
    organisation: &Organisation,
    targets: &TargetArgs,
    progress: &dyn Progress,
) -> Result<StatusView, CliError> {
    let fleet_view::FleetView {
        fleet,
        locations,
        failures,
    } = fleet_view::observe(organisation, &targets.scope(), progress).await?;
    let now = context.clock.now();
    let world = World::without_request(&configuration.schedule_set, &fleet.instances);
    let targets = InstanceSelector::from(targets.clone());
    let seen = EvaluatedInstance::all(&world, now);
    let (shown, unmanaged) = match for_status(&targets, seen, &configuration.schedule_set) {
        Ok(selected) => selected,
        Err(error) => return Err(selecting(error, failures)),
    };
    Ok(StatusView {
        zones: shown.iter().map(zone).collect(),
        status: Status::of(shown, unmanaged, now),
        locations,
        failures,
    })
}

fn zone(seen: &EvaluatedInstance<'_>) -> TimeZone {
    let schedule = seen.assessment.schedule.as_ref();
    schedule.map_or(TimeZone::UTC, |schedule| {
        schedule.timetable.time_zone().clone()
    })
}

fn show(output: &mut Output, seen: StatusView) -> Result<(), CliError> {
    let target = output.target();
    output.print(&seen.document(), |_| describe(&seen, target))?;
    all_answered(seen.failures)
}

/// Prints one refresh.
fn watch(output: &Output, seen: &StatusView) -> Result<(), CliError> {
    if output.is_json() {
        let line = serde_json::to_string(&seen.document()).expect("a status is plain data");
        return output.raw(format!("{line}\n").as_bytes());
    }
    let target = output.target();
    let mut text = describe(seen, target);
    for error in &seen.failures {
        text = format!("{error}\n{text}");
    }
    let text = printable::lines(&text).into_owned();
    let text = match target {
        OutputTarget::Pipe => text + "\n",
        // Cursor home and clear to the end: avoids flicker and keeps the scrollback.
        OutputTarget::Terminal => format!("\x1b[H\x1b[J{}\n", fitting(&text, height())),
    };
    output.raw(text.as_bytes())
}

fn height() -> usize {
    /// The height of a terminal that does not report one.
    const USUAL: u16 = 24;
    let size = rustix::termios::tcgetwinsize(std::io::stdout());
    let rows = size.map_or(USUAL, |size| size.ws_row);
    usize::from(if rows == 0 { USUAL } else { rows })
}

/// Truncates the text to `height` lines, but keeps the summary at the end.
fn fitting(text: &str, height: usize) -> String {
    const SUM: usize = 2;
    let lines: Vec<&str> = text.trim_end().lines().collect();
    if lines.len() < height {
        return lines.join("\n");
    }
    let (rows, sum) = lines.split_at(lines.len() - SUM);
    let shown = height.saturating_sub(SUM + 2).min(rows.len());
    let more = format!("… and {} more", count(rows.len() - shown));
    let shown = rows.iter().take(shown).copied();
    let all: Vec<&str> = shown
        .chain([more.as_str()])
        .chain(sum.iter().copied())
        .collect();
    all.join("\n")
}

fn describe(seen: &StatusView, target: OutputTarget) -> String {
    let StatusView {
        status, locations, ..
    } = seen;
    let header = locations.header(&[
        "instance",
        "name",
        "state",
        "schedule",
        "desired",
        "last cause",
        "override",
        "next edge",
        "note",
    ]);
    let rows = status
        .instances
        .iter()
        .zip(&seen.zones)
        .map(|(one, zone)| locations.row(&one.id, row(one, zone, status.at)));
    let text = if status.instances.is_empty() {
        "no instances\n".to_owned()
    } else {
        table_for(target, &header, rows)
    };
    let shown = count(status.instances.len());
    let left_out = match status.unmanaged {
        0 => String::new(),
        some => format!("; {} unmanaged (use --all to show them)", count(some)),
    };
    let next = status
        .next_edge
        .map(|at| format!("; next edge: {}", moment_here(at, status.at)));
    format!(
        "{text}\n{shown} shown{left_out}{}\n",
        next.unwrap_or_default()
    )
}

fn row(one: &InstanceStatus, zone: &TimeZone, now: Timestamp) -> Vec<String> {
    let override_ = one.override_.as_ref().map(|override_| {
        format!(
            "{} until {} by {}",
            override_.state,
            moment(override_.until, zone, now),
            override_.actor
        )
    });
    let next = one
        .next_edge
        .map(|edge| format!("{} {}", edge.action, moment(edge.at, zone, now)));
    vec![
        one.id.to_string(),
        or_dash(one.name.as_ref()),
        one.state.to_string(),
        or_dash(one.schedule.as_ref()),
        one.desired.to_string(),
        or_dash(one.last_applied.as_ref().map(|last| &last.cause)),
        or_dash(override_),
        or_dash(next),
        or_dash(note(one)),
    ]
}

/// Returns the reason for the state, unless the rest of the row shows it.
fn note(one: &InstanceStatus) -> Option<&str> {
    use curfew_core::instance::InstanceState::{Running, Stopped};
    let plain = one.pending_action.is_none()
        && matches!(
            (one.state, one.desired),
            (Running, Desired::Running) | (Stopped, Desired::Stopped)
        );
    (!plain).then_some(one.reason.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_do_not_fit_are_counted_and_the_summary_is_kept() {
        let text = "HEADER\na\nb\nc\nd\n\n4 shown\n";
        assert_eq!(fitting(text, 20), "HEADER\na\nb\nc\nd\n\n4 shown");
        assert_eq!(fitting(text, 6), "HEADER\na\n… and 3 more\n\n4 shown");
        assert_eq!(fitting(text, 1), "… and 5 more\n\n4 shown");
    }

    #[test]
    fn refresh_intervals_below_a_second_are_rejected() {
        assert_eq!(interval("2s"), Ok(Duration::from_secs(2)));
        assert!(interval("900ms").is_err());
    }
}
