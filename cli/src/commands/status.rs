//! `curfew status`: the same view as `/status` of the API, once or repeatedly.

use std::cmp::Ordering;
use std::time::Duration;

use clap::Args;
use curfew_aws::organisation::{AccountRegionError, Organisation};
use curfew_aws::progress::{Progress, Silent};
use curfew_config::Configuration;
use curfew_core::configuration::duration;
use curfew_core::human_time;
use curfew_core::instance::InstanceState;
use curfew_core::next_action::NextAction;
use curfew_core::select::{EvaluatedInstance, InstanceSelector, for_status};
use curfew_core::skip::SkipCode;
use curfew_core::status::{InstanceStatus, Status};
use curfew_core::timetable::{Action, Desired, Edge};
use curfew_core::world::World;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::alike;
use crate::error::{all_answered, selecting};
use crate::fleet_view::{
    self, InstanceLocations, UnansweredRegionDocument, WithAccount, unanswered,
};
use crate::output::{Output, count, counted, override_text};
use crate::output_target::OutputTarget;
use crate::progress;
use crate::table::{ATTENTION, Cell, Column, Table};
use crate::targets::TargetArgs;
use crate::view::View;
use crate::{CliError, Context};

/// The options of `status`.
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    targets: TargetArgs,
    /// Show only instances that need attention, with the reason: with a mistake in a tag, failing, overdue, overridden without end …
    #[arg(long)]
    problems: bool,
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
        observe(context, &configuration, &organisation, &args, progress).await
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

/// The status of the selected instances, and the zone in which to show the times of each: that of its schedule.
struct StatusView {
    status: Status,
    zones: Vec<TimeZone>,
    /// Whether only instances that need attention are listed.
    only_problems: bool,
    locations: InstanceLocations,
    failures: Vec<AccountRegionError>,
}

/// The JSON form of a [`Status`], with accounts if several are managed.
#[derive(Serialize, schemars::JsonSchema)]
pub(crate) struct StatusDocument<'a> {
    /// The instant of the observation.
    at: Timestamp,
    /// The selected instances, with their state and what is next.
    instances: Vec<WithAccount<'a, InstanceStatus>>,
    /// The number of unmanaged instances that are not listed; `--all` lists them.
    unmanaged_count: usize,
    /// The earliest instant at which something is due for one of the instances.
    next: Option<NextAction>,
    /// The accounts and regions that did not answer; only if there are any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default)]
    unanswered: Vec<UnansweredRegionDocument>,
}

impl StatusView {
    fn document(&self) -> StatusDocument<'_> {
        let Status {
            at,
            instances,
            unmanaged_count,
            next,
        } = &self.status;
        StatusDocument {
            at: *at,
            instances: self
                .locations
                .with_accounts(instances, |one| &one.id)
                .into_iter()
                .zip(instances)
                .filter(|(_, one)| !self.only_problems || one.problem.is_some())
                .map(|(entry, _)| entry)
                .collect(),
            unmanaged_count: *unmanaged_count,
            next: *next,
            unanswered: unanswered(&self.failures),
        }
    }
}

async fn observe(
    context: &Context,
    configuration: &Configuration,
    organisation: &Organisation,
    args: &StatusArgs,
    progress: &dyn Progress,
) -> Result<StatusView, CliError> {
    let fleet_view::FleetView {
        fleet,
        locations,
        failures,
    } = fleet_view::observe(organisation, &args.targets.scope(), progress).await?;
    let now = context.clock.now();
    let world = World::without_request(&configuration.schedule_set, &fleet.instances);
    let targets = InstanceSelector::from(args.targets.clone());
    let seen = EvaluatedInstance::all(&world, now);
    let (shown, unmanaged) = match for_status(&targets, seen, &configuration.schedule_set) {
        Ok(selected) => selected,
        Err(error) => return Err(selecting(error, failures)),
    };
    Ok(StatusView {
        zones: shown.iter().map(zone).collect(),
        status: Status::of(shown, unmanaged, &configuration.schedule_set, now),
        only_problems: args.problems,
        locations,
        failures,
    })
}

fn zone(seen: &EvaluatedInstance<'_>) -> TimeZone {
    let schedule = seen.assessment.schedule.as_ref();
    schedule.map_or_else(TimeZone::system, |schedule| {
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
        return output.json_lines(&[seen.document()]);
    }
    let target = output.target();
    let mut view = View::default();
    for error in &seen.failures {
        view.styled(error.to_string(), ATTENTION);
    }
    view.append(describe(seen, target));
    let text = view.render(target);
    let text = if target.is_terminal() {
        // Cursor home and clear to the end: avoids flicker and keeps the scrollback.
        format!("\x1b[H\x1b[J{}\n", fitting(&text, height()))
    } else {
        text + "\n"
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

/// Truncates the text to `height` lines, with the line of the cursor.
fn fitting(text: &str, height: usize) -> String {
    let lines: Vec<&str> = text.trim_end().lines().collect();
    if lines.len() < height {
        return lines.join("\n");
    }
    let shown = height.saturating_sub(2).min(lines.len());
    let more = format!("… and {} more lines", count(lines.len() - shown));
    let shown = lines.iter().take(shown).copied();
    shown.chain([more.as_str()]).collect::<Vec<_>>().join("\n")
}

/// An instance with the zone of its schedule.
type Zoned<'a> = (&'a InstanceStatus, &'a TimeZone);

fn describe(seen: &StatusView, target: OutputTarget) -> View {
    let StatusView {
        status,
        zones,
        locations,
        only_problems,
        ..
    } = seen;
    let now = status.at;
    let mut all: Vec<Zoned<'_>> = status.instances.iter().zip(zones).collect();
    all.sort_by(|(a, _), (b, _)| order(a, b));
    let problems: Vec<Zoned<'_>> = all
        .iter()
        .copied()
        .filter(|(one, _)| one.problem.is_some())
        .collect();
    let mut view = View::default();
    view.line(summary(&all, problems.len()));
    if let Some(next) = next(&all, now) {
        view.line(format!("Next: {next}"));
    }
    let listed = if *only_problems { &problems } else { &all };
    if target.groups() && listed.len() > alike::SHOWN {
        if !problems.is_empty() {
            view.gap();
            view.styled("Needs attention:", ATTENTION);
            let reason = |(one, zone): &Zoned<'_>| remark(one, zone, now).unwrap_or_default();
            let groups = alike::grouped(problems.iter().copied(), reason);
            let more = "`curfew status --problems -o wide` shows all";
            alike::list(
                &mut view,
                &groups,
                |reason, group| problem_line(reason, group),
                more,
            );
        }
        if !only_problems {
            view.gap().table(groups_table(&all, now));
            view.gap().line("Each instance: `curfew status -o wide`");
        }
    } else if !listed.is_empty() {
        view.gap().table(instances_table(listed, locations, now));
    }
    if status.unmanaged_count > 0 {
        let left_out = counted(status.unmanaged_count, "unmanaged instance");
        let them = if status.unmanaged_count == 1 {
            "it"
        } else {
            "them"
        };
        view.gap()
            .line(format!("{left_out} not shown; --all shows {them}"));
    }
    view
}

/// Orders a list: what needs attention first, mistakes in tags before the rest, then by schedule and name.
fn order(a: &InstanceStatus, b: &InstanceStatus) -> Ordering {
    let problem = |one: &InstanceStatus| one.problem.as_ref().map(|problem| problem.code);
    let key = |one: &InstanceStatus| (one.problem.is_none(), problem(one), one.schedule.clone());
    let name = |one: &InstanceStatus| alike::label(&one.id, one.name.as_ref());
    key(a)
        .cmp(&key(b))
        .then_with(|| alike::by_name(&name(a), &name(b)))
        .then_with(|| a.id.cmp(&b.id))
}

/// Formats the numbers: `300 instances: 183 running, 117 stopped; 5 need attention`.
fn summary(all: &[Zoned<'_>], problems: usize) -> String {
    let in_state =
        |state: &InstanceState| all.iter().filter(|(one, _)| one.state == *state).count();
    let states = [InstanceState::Running, InstanceState::Stopped];
    let others = InstanceState::ALL.into_iter();
    let others = others.filter(|state| !states.contains(state));
    let parts: Vec<String> = states
        .into_iter()
        .chain(others)
        .map(|state| (in_state(&state), state))
        .filter(|(number, _)| *number > 0)
        .map(|(number, state)| format!("{} {state}", count(number)))
        .collect();
    let instances = match all.len() {
        0 => return "No instances".to_owned(),
        some => counted(some, "instance"),
    };
    let attention = match problems {
        0 => String::new(),
        1 => "; 1 needs attention".to_owned(),
        several => format!("; {} need attention", count(several)),
    };
    format!("{instances}: {}{attention}", parts.join(", "))
}

/// Formats what happens next: `120 instances of nyc start Mon 30 Nov 14:00 CET (in 3 h)`.
fn next(all: &[Zoned<'_>], now: Timestamp) -> Option<String> {
    let edges = all
        .iter()
        .filter_map(|(one, zone)| one.next.map(|edge| (edge, *one, *zone)));
    let edges: Vec<(Edge, &InstanceStatus, &TimeZone)> = edges.collect();
    let at = edges.iter().map(|(edge, ..)| edge.at).min()?;
    let due: Vec<_> = edges.iter().filter(|(edge, ..)| edge.at == at).collect();
    let (_, first, zone) = *due[0];
    let verb = |action: Action, number: usize| match number {
        1 => format!("{action}s"),
        _ => action.to_string(),
    };
    let number = |action| {
        due.iter()
            .filter(|(edge, ..)| edge.action == action)
            .count()
    };
    let actions = [Action::Start, Action::Stop].map(|action| (action, number(action)));
    let what = match (due.len(), actions) {
        (1, _) => {
            let name = alike::label(&first.id, first.name.as_ref());
            format!("{name} {}", verb(due[0].0.action, 1))
        }
        (_, [(start, starts), (stop, stops)]) if starts > 0 && stops > 0 => format!(
            "{} {} and {} {}",
            counted(starts, "instance"),
            verb(start, starts),
            count(stops),
            verb(stop, stops)
        ),
        (several, _) => {
            let same = due.iter().all(|(_, one, _)| one.schedule == first.schedule);
            let of = first.schedule.as_ref().filter(|_| same);
            let of = of.map_or_else(String::new, |name| format!(" of {name}"));
            let verb = verb(due[0].0.action, several);
            format!("{}{of} {verb}", counted(several, "instance"))
        }
    };
    Some(format!(
        "{what} {}",
        human_time::with_distance(at, zone, now)
    ))
}

fn problem_line(reason: &str, group: &[Zoned<'_>]) -> String {
    let names = group.iter();
    let names = names.map(|(one, _)| alike::label(&one.id, one.name.as_ref()));
    format!("{}: {reason}", alike::examples(names))
}

/// Returns a row for each kind of instance: those of a schedule that have the same state, next edge and remark.
fn groups_table(all: &[Zoned<'_>], now: Timestamp) -> Table {
    let key = |(one, zone): &Zoned<'_>| {
        let next = one.next.map(|edge| next_action(edge, zone, now));
        let is_held = one.override_.is_some();
        (one.schedule.clone(), one.state, next, is_held)
    };
    let groups = alike::grouped(all.iter().copied(), key);
    let left_out: usize = groups
        .iter()
        .skip(alike::SHOWN)
        .map(|(_, group)| group.len())
        .sum();
    let mut rows: Vec<Vec<Cell>> = groups
        .into_iter()
        .take(alike::SHOWN)
        .map(|((schedule, state, next, is_held), group)| {
            let names = group.iter();
            let names = names.map(|(one, _)| alike::label(&one.id, one.name.as_ref()));
            let examples = alike::examples(names);
            let which = if is_held {
                format!("overridden: {examples}")
            } else {
                examples
            };
            vec![
                count(group.len()).into(),
                Cell::or_none(schedule),
                Cell::state(state),
                Cell::or_none(next),
                which.into(),
            ]
        })
        .collect();
    if left_out > 0 {
        let others = "others".into();
        rows.push(vec![
            count(left_out).into(),
            Cell::or_none(None::<String>),
            others,
            Cell::or_none(None::<String>),
            "…".into(),
        ]);
    }
    let columns = [
        Column::number("count"),
        Column::text("schedule"),
        Column::whole("state"),
        Column::whole("next"),
        Column::text("which"),
    ];
    Table::new(columns, rows)
}

fn instances_table(listed: &[Zoned<'_>], locations: &InstanceLocations, now: Timestamp) -> Table {
    let columns = locations.columns([
        Column::whole("instance"),
        Column::text("name"),
        Column::whole("state"),
        Column::text("schedule"),
        Column::whole("next"),
        Column::optional("when"),
        Column::optional("last cause"),
        Column::wide("desired"),
        Column::wide("type"),
        Column::remark("note"),
    ]);
    let rows = listed.iter();
    let rows = rows.map(|(one, zone)| locations.row(&one.id, row(one, zone, now)));
    Table::new(columns, rows).with_common_remarks(alike::examples)
}

fn row(one: &InstanceStatus, zone: &TimeZone, now: Timestamp) -> Vec<Cell> {
    let remark = Cell::or_none(remark(one, zone, now));
    let remark = if one.problem.is_some() {
        remark.styled(ATTENTION)
    } else {
        remark
    };
    vec![
        one.id.to_string().into(),
        Cell::or_none(one.name.as_ref()),
        Cell::state(one.state),
        Cell::or_none(one.schedule.as_ref()),
        Cell::or_none(one.next.map(|edge| next_action(edge, zone, now))),
        Cell::or_none(one.next.map(|edge| human_time::distance(edge.at, now))),
        Cell::or_none(one.last_applied.as_ref().map(|last| &last.cause)),
        one.desired.to_string().into(),
        one.instance_type.as_str().into(),
        remark,
    ]
}

fn next_action(edge: Edge, zone: &TimeZone, now: Timestamp) -> String {
    format!(
        "{} {}",
        edge.action,
        human_time::instant(edge.at, zone, now)
    )
}

/// Returns the override, and the reason for the state unless the rest of the row shows it.
fn remark(one: &InstanceStatus, zone: &TimeZone, now: Timestamp) -> Option<String> {
    use curfew_core::instance::InstanceState::{Running, Stopped};
    let override_ = one.override_.as_ref();
    let override_ = override_.map(|it| format!("override: {}", override_text(it, zone, now)));
    let reason = match &one.problem {
        Some(problem) => &problem.message,
        None => &one.verdict,
    };
    let is_wanted = matches!(
        (one.state, one.desired),
        (Running, Desired::Running) | (Stopped, Desired::Stopped)
    );
    let is_plain = one.pending_action.is_none()
        && one.problem.is_none()
        && (is_wanted || one.skip_code == Some(SkipCode::AsDesired));
    // The reason of a skip because of an override is the override.
    let is_told = override_.is_some() && one.pending_action.is_none();
    let reason =
        (!is_plain && !is_told).then(|| human_time::in_sentence(reason, zone, now).into_owned());
    let parts: Vec<String> = [override_, reason].into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_do_not_fit_are_counted_and_the_summary_is_kept() {
        let text = "4 instances\n\nHEADER\na\nb\nc\nd\n";
        assert_eq!(fitting(text, 8), text.trim_end());
        assert_eq!(
            fitting(text, 6),
            "4 instances\n\nHEADER\na\n… and 3 more lines"
        );
        assert_eq!(fitting(text, 1), "… and 7 more lines");
    }

    #[test]
    fn refresh_intervals_below_a_second_are_rejected() {
        assert_eq!(interval("2s"), Ok(Duration::from_secs(2)));
        assert!(interval("900ms").is_err());
    }
}
