//! `curfew status`: the same view as the API's `/status`, once or again and again.

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
use crate::everywhere::{self, Placed, Places, Unanswered};
use crate::output::{Output, Reader, count, moment, moment_here, or_dash, table_for};
use crate::printable;
use crate::progress;
use crate::targets::TargetArgs;
use crate::{CliError, Context};

/// Which instances to show.
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    targets: TargetArgs,
    /// Look again and again, every five seconds or as said, until Ctrl-C; with `-o json` one document a line
    #[arg(long, value_name = "LENGTH", num_args = 0..=1, require_equals = true, default_missing_value = "5s",
          value_parser = interval)]
    watch: Option<Duration>,
}

/// At least a second: EC2 lets an account look a few times a second, and others look too.
fn interval(text: &str) -> Result<Duration, String> {
    let length = duration(text)?;
    if length < SignedDuration::from_secs(1) {
        Err(format!("`{text}` is too short: at least 1s"))
    } else {
        Ok(length.unsigned_abs())
    }
}

pub(crate) async fn status(context: &mut Context, args: StatusArgs) -> Result<(), CliError> {
    let (configuration, organisation) = context.organisation().await?;
    let progress = progress::for_watchers();
    let look = async |progress: &dyn Progress| {
        look(
            context,
            &configuration,
            &organisation,
            &args.targets,
            progress,
        )
        .await
    };
    let seen = look(progress.as_ref()).await?;
    drop(progress);
    let Some(every) = args.watch else {
        return show(&mut context.output, seen);
    };
    watch(&context.output, &seen)?;
    loop {
        tokio::time::sleep(every).await;
        match look(&Silent).await {
            Ok(seen) => watch(&context.output, &seen)?,
            // It was there a moment ago: it is worth looking again.
            Err(error) => {
                error.report(&mut std::io::stderr());
            }
        }
    }
}

/// What is seen, and for each instance the zone whose clock its times are told by.
struct Look {
    status: Status,
    zones: Vec<TimeZone>,
    places: Places,
    failures: Vec<AccountRegionError>,
}

/// A [`Status`], with accounts where several are managed.
#[derive(Serialize)]
struct Document<'a> {
    at: Timestamp,
    instances: Vec<Placed<'a, InstanceStatus>>,
    unmanaged: usize,
    next_edge: Option<Timestamp>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unanswered: Vec<Unanswered>,
}

impl Look {
    fn document(&self) -> Document<'_> {
        let Status {
            at,
            instances,
            unmanaged,
            next_edge,
        } = &self.status;
        Document {
            at: *at,
            instances: self.places.placed(instances, |one| &one.id),
            unmanaged: *unmanaged,
            next_edge: *next_edge,
            unanswered: Unanswered::all(&self.failures),
        }
    }
}

async fn look(
    context: &Context,
    configuration: &Configuration,
    organisation: &Organisation,
    targets: &TargetArgs,
    progress: &dyn Progress,
) -> Result<Look, CliError> {
    let everywhere::Seen {
        fleet,
        places,
        failures,
    } = everywhere::observe(organisation, &targets.scope(), progress).await?;
    let now = context.clock.now();
    let world = World::unasked(&configuration.schedule_set, &fleet.instances);
    let targets = InstanceSelector::from(targets.clone());
    let seen = EvaluatedInstance::all(&world, now);
    let (shown, unmanaged) = match for_status(&targets, seen, &configuration.schedule_set) {
        Ok(selected) => selected,
        Err(error) => return Err(selecting(error, failures)),
    };
    Ok(Look {
        zones: shown.iter().map(zone).collect(),
        status: Status::of(shown, unmanaged, now),
        places,
        failures,
    })
}

fn zone(seen: &EvaluatedInstance<'_>) -> TimeZone {
    let schedule = seen.assessment.schedule.as_ref();
    schedule.map_or(TimeZone::UTC, |schedule| {
        schedule.timetable.time_zone().clone()
    })
}

fn show(output: &mut Output, seen: Look) -> Result<(), CliError> {
    let reader = output.reader();
    output.print(&seen.document(), |_| describe(&seen, reader))?;
    all_answered(seen.failures)
}

/// Shows one look of many.
fn watch(output: &Output, seen: &Look) -> Result<(), CliError> {
    if output.is_json() {
        let line = serde_json::to_string(&seen.document()).expect("a status is plain data");
        return output.raw(format!("{line}\n").as_bytes());
    }
    let reader = output.reader();
    let mut text = describe(seen, reader);
    for error in &seen.failures {
        text = format!("{error}\n{text}");
    }
    let text = printable::lines(&text).into_owned();
    let text = match reader {
        Reader::Pipe => text + "\n",
        // Home and clear to the end: nothing flickers, and what scrolled away stays in the terminal's memory.
        Reader::Terminal => format!("\x1b[H\x1b[J{}\n", fitting(&text, height())),
    };
    output.raw(text.as_bytes())
}

fn height() -> usize {
    /// A terminal that does not say how tall it is.
    const USUAL: u16 = 24;
    let size = rustix::termios::tcgetwinsize(std::io::stdout());
    let rows = size.map_or(USUAL, |size| size.ws_row);
    usize::from(if rows == 0 { USUAL } else { rows })
}

/// As many lines as fit; the end of the text, which sums it up, is always there.
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

fn describe(seen: &Look, reader: Reader) -> String {
    let Look { status, places, .. } = seen;
    let header = places.header(&[
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
        .map(|(one, zone)| places.row(&one.id, row(one, zone, status.at)));
    let text = if status.instances.is_empty() {
        "no instances\n".to_owned()
    } else {
        table_for(reader, &header, rows)
    };
    let shown = count(status.instances.len());
    let left_out = match status.unmanaged {
        0 => String::new(),
        some => format!(
            "; {} more that no schedule manages: --all shows them",
            count(some)
        ),
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
            override_.by
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
        or_dash(one.last.as_ref().map(|last| &last.cause)),
        or_dash(override_),
        or_dash(next),
        or_dash(note(one)),
    ]
}

/// Why it is as it is, where that is not plain from the rest of its row.
fn note(one: &InstanceStatus) -> Option<&str> {
    use curfew_core::instance::InstanceState::{Running, Stopped};
    let plain = one.due.is_none()
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
    fn what_does_not_fit_is_counted_and_the_sum_stays() {
        let text = "HEADER\na\nb\nc\nd\n\n4 shown\n";
        assert_eq!(fitting(text, 20), "HEADER\na\nb\nc\nd\n\n4 shown");
        assert_eq!(fitting(text, 6), "HEADER\na\n… and 3 more\n\n4 shown");
        assert_eq!(fitting(text, 1), "… and 5 more\n\n4 shown");
    }

    #[test]
    fn looking_is_not_hammering() {
        assert_eq!(interval("2s"), Ok(Duration::from_secs(2)));
        assert!(interval("900ms").is_err());
    }
}
