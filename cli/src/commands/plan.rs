//! `curfew plan` and `curfew apply`: what a pass would do now, and doing it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use clap::Args;
use curfew_aws::error::CloudError;
use curfew_aws::execute::{Deadline, Outcome, StepResult};
use curfew_aws::organisation::{MemberError, Organisation};
use curfew_aws::pass::{Pass, WakeUp};
use curfew_core::instance::{AccountId, InstanceId, InstanceState};
use curfew_core::membership::Member;
use curfew_core::plan::{Plan, Skip, SkipReason, Step, StepAction};
use jiff::Timestamp;
use serde::Serialize;

use crate::error::all_answered;
use crate::everywhere::{LOOKING, Placed, Places, Unanswered, carry_out, looked_at};
use crate::output::{Reader, count, counted, moment_here, or_dash, table_for};
use crate::person::Person;
use crate::progress;
use crate::{CliError, Context, Exit};
use curfew_aws::progress::Progress;
use curfew_config::Settings;

/// How `apply` asks.
#[derive(Debug, Args)]
pub(crate) struct ApplyArgs {
    /// Do not ask; needed where standard input is no terminal
    #[arg(long, short)]
    yes: bool,
}

pub(crate) async fn plan(context: &mut Context) -> Result<(), CliError> {
    let (settings, organisation) = context.organisation().await?;
    let progress = progress::for_watchers();
    let seen = look(context, &settings, &organisation, progress.as_ref()).await?;
    drop(progress);
    let reader = context.output.reader();
    let document = Document::of(&seen);
    context
        .output
        .print(&document, |_| describe(&seen.plan, &seen.places, reader))?;
    all_answered(seen.failures)
}

pub(crate) async fn apply(context: &mut Context, args: ApplyArgs) -> Result<(), CliError> {
    let asks = !args.yes;
    let mut person = Person::here();
    if asks && !person.is_there() {
        let message = "`curfew apply` asks before it acts, and standard input is no terminal";
        let hint = "say --yes, or look first with `curfew plan`";
        return Err(CliError::new(Exit::Usage, message).hint(hint));
    }
    let (settings, organisation) = context.organisation().await?;
    let progress = progress::for_watchers();
    let mut seen = look(context, &settings, &organisation, progress.as_ref()).await?;
    let mut unconfirmed = Vec::new();
    if asks && !seen.plan.steps.is_empty() {
        let question = describe(&seen.plan, &seen.places, Reader::stderr());
        if !person.confirms(&format!("{question}\nDo this? [y/N] ")) {
            return Err(CliError::new(Exit::Failed, "nothing was done"));
        }
        // Whoever was asked took their time: others may have acted, and an edge may have passed.
        let asked = seen.plan;
        seen = look(context, &settings, &organisation, progress.as_ref()).await?;
        let Reconfirmed { fresh, gone } = hold_to(&asked, &mut seen.plan);
        seen.leave_out(&fresh);
        if let Some(change) = told(&fresh, gone) {
            // Whoever was asked reads this where they were asked.
            let _gone = writeln!(io::stderr(), "{change}");
        }
        unconfirmed = fresh;
    }
    let passes = std::mem::take(&mut seen.passes);
    let basis = WakeUp::ROUTINE.basis(&settings.governance, &context.clock);
    let outcomes = carry_out(&organisation, passes, basis, progress.as_ref()).await;
    drop(progress);
    report(context, &seen, &outcomes, &unconfirmed)?;
    all_answered(seen.failures)
}

/// What a pass would do now, and where.
struct Look {
    /// Where each of its parts is to be done.
    passes: Vec<(Member, Pass)>,
    /// All of it.
    plan: Plan,
    places: Places,
    failures: Vec<MemberError>,
}

impl Look {
    /// Does these steps nowhere.
    fn leave_out(&mut self, steps: &[Step]) {
        let left_out: BTreeSet<&InstanceId> = steps.iter().map(|step| &step.instance).collect();
        for (_, pass) in &mut self.passes {
            let steps = &mut pass.plan.steps;
            steps.retain(|step| !left_out.contains(&step.instance));
        }
    }
}

async fn look(
    context: &Context,
    settings: &Settings,
    organisation: &Organisation,
    progress: &dyn Progress,
) -> Result<Look, CliError> {
    let (governance, clock) = (&settings.governance, &context.clock);
    let looking = organisation.look(governance, &WakeUp::ROUTINE, clock, Deadline::NONE);
    let survey = progress::patiently(progress, LOOKING, looking, |survey| {
        let instances = survey.answers.iter().map(|(_, pass)| pass.instances.len());
        looked_at(instances.sum())
    });
    let mut survey = survey.await;
    let Some(plan) = survey.plan() else {
        return Err(survey.failures.swap_remove(0).into());
    };
    let answers = survey.answers.iter();
    let answers = answers.map(|(one, pass)| (one, pass.instances.as_slice()));
    let places = Places::of(organisation, answers);
    let answers = survey.answers.into_iter();
    Ok(Look {
        passes: answers.map(|(one, pass)| (one.member, pass)).collect(),
        plan,
        places,
        failures: survey.failures,
    })
}

/// What has changed in a plan since somebody said yes to it.
#[derive(Debug, PartialEq)]
struct Reconfirmed {
    /// Steps that nobody was asked about.
    fresh: Vec<Step>,
    /// How many steps that were asked about are not needed any more.
    gone: usize,
}

/// Takes out of `now` what was not `asked`: what is confirmed is what is done.
fn hold_to(asked: &Plan, now: &mut Plan) -> Reconfirmed {
    let same =
        |a: &Step, b: &Step| (&a.instance, a.action, &a.cause) == (&b.instance, b.action, &b.cause);
    let by_instance: BTreeMap<_, _> = asked
        .steps
        .iter()
        .map(|step| (&step.instance, step))
        .collect();
    let was_asked = |step: &Step| {
        by_instance
            .get(&step.instance)
            .is_some_and(|asked| same(asked, step))
    };
    let (kept, fresh): (Vec<Step>, Vec<Step>) = std::mem::take(&mut now.steps)
        .into_iter()
        .partition(was_asked);
    let gone = asked.steps.len() - kept.len();
    now.steps = kept;
    Reconfirmed { fresh, gone }
}

fn told(fresh: &[Step], gone: usize) -> Option<String> {
    let steps = |number: usize, one: &str, several: &str| match number {
        0 => None,
        1 => Some(format!("1 {one}")),
        number => Some(format!("{} {several}", count(number))),
    };
    let said: Vec<String> = [
        steps(
            gone,
            "step is not needed any more",
            "steps are not needed any more",
        ),
        steps(
            fresh.len(),
            "new step waits for the next `curfew apply`",
            "new steps wait for the next `curfew apply`",
        ),
    ]
    .into_iter()
    .flatten()
    .collect();
    let changed = "the plan has changed since the question";
    (!said.is_empty()).then(|| format!("{changed}: {}", said.join("; ")))
}

/// Rows that people still read on a terminal; the rest is counted.
const SHOWN: usize = 20;

/// A plan for people. On a terminal what is alike is grouped and what is long is cut; a pipe gets a line for each instance.
fn describe(plan: &Plan, places: &Places, reader: Reader) -> String {
    let each = tally(plan.steps.iter().map(|step| step.action.to_string()));
    let left = count(plan.skipped.len());
    let mut text = match plan.steps.len() {
        0 => format!("Nothing to do; {left} left alone\n"),
        some => format!("{}: {each}; {left} left alone\n", counted(some, "step")),
    };
    if !plan.steps.is_empty() {
        let header = places.header(&["instance", "name", "state", "step", "cause", "note"]);
        let rows = plan.steps.iter();
        let rows = rows.map(|step| places.row(&step.instance, step_row(step)));
        text = text + "\n" + &cut(&header, rows, plan.steps.len(), reader);
    }
    if !plan.skipped.is_empty() {
        text = text + "\n" + &left_alone(&plan.skipped, places, reader);
    }
    text + &next(plan.next_edge, plan.at)
}

fn next(edge: Option<Timestamp>, now: Timestamp) -> String {
    let at = edge.map(|at| moment_here(at, now));
    format!("\nNext edge: {}\n", or_dash(at))
}

/// `2 start, 9,950 stop`.
fn tally(words: impl Iterator<Item = String>) -> String {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for word in words {
        *counts.entry(word).or_default() += 1;
    }
    let told: Vec<String> = counts
        .into_iter()
        .map(|(word, number)| format!("{} {word}", count(number)))
        .collect();
    told.join(", ")
}

/// A table that ends, on a terminal, before nobody reads on.
fn cut(
    header: &[&str],
    rows: impl Iterator<Item = Vec<String>>,
    all: usize,
    reader: Reader,
) -> String {
    match reader {
        Reader::Pipe => table_for(reader, header, rows),
        Reader::Terminal if all <= SHOWN => table_for(reader, header, rows),
        Reader::Terminal => {
            let shown = table_for(reader, header, rows.take(SHOWN));
            format!(
                "{shown}… and {} more; `-o json` has them all\n",
                count(all - SHOWN)
            )
        }
    }
}

fn left_alone(skipped: &[Skip], places: &Places, reader: Reader) -> String {
    match reader {
        Reader::Pipe => {
            let row = |skip: &Skip| {
                let row = vec![
                    skip.instance.to_string(),
                    or_dash(skip.name.as_ref()),
                    skip.state.to_string(),
                    skip.detail.clone(),
                ];
                places.row(&skip.instance, row)
            };
            let header = places.header(&["left alone", "name", "state", "because"]);
            table_for(reader, &header, skipped.iter().map(row))
        }
        Reader::Terminal => {
            let groups = grouped(skipped);
            let rows = groups.iter().map(|(because, members)| {
                vec![
                    count(members.len()),
                    (*because).to_owned(),
                    examples(members),
                ]
            });
            cut(
                &["left alone", "because", "which"],
                rows,
                groups.len(),
                reader,
            )
        }
    }
}

/// By their sentence, the largest group first.
fn grouped(skipped: &[Skip]) -> Vec<(&str, Vec<&Skip>)> {
    let mut groups: BTreeMap<&str, Vec<&Skip>> = BTreeMap::new();
    for skip in skipped {
        groups.entry(&skip.detail).or_default().push(skip);
    }
    let mut groups: Vec<_> = groups.into_iter().collect();
    groups.sort_by_key(|(_, members)| std::cmp::Reverse(members.len()));
    groups
}

/// A few of a group: all of a small fleet, and of a large one enough to see what sort it is.
fn examples(members: &[&Skip]) -> String {
    const FEW: usize = 3;
    let label = |skip: &&Skip| match &skip.name {
        Some(name) => format!("{} ({})", name.escape_debug(), skip.instance),
        None => skip.instance.to_string(),
    };
    let mut labels: Vec<String> = members.iter().take(FEW).map(label).collect();
    if members.len() > FEW {
        labels.push(format!("and {} more", count(members.len() - FEW)));
    }
    labels.join(", ")
}

fn step_row(step: &Step) -> Vec<String> {
    vec![
        step.instance.to_string(),
        or_dash(step.name.as_ref()),
        step.state.to_string(),
        step.action.to_string(),
        step.cause.to_string(),
        or_dash(step.note.as_ref()),
    ]
}

/// A [`Plan`], with accounts where several are governed.
#[derive(Serialize)]
struct Document<'a> {
    at: Timestamp,
    steps: Vec<Placed<'a, Step>>,
    skipped: Vec<Placed<'a, Skip>>,
    next_edge: Option<Timestamp>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unanswered: Vec<Unanswered>,
}

impl<'a> Document<'a> {
    fn of(seen: &'a Look) -> Self {
        let places = &seen.places;
        let Plan {
            at,
            steps,
            skipped,
            next_edge,
            outdated_at: _,
        } = &seen.plan;
        Self {
            unanswered: Unanswered::all(&seen.failures),
            at: *at,
            steps: places.placed(steps, |step| &step.instance),
            skipped: places.placed(skipped, |skip| &skip.instance),
            next_edge: *next_edge,
        }
    }
}

/// What became of a plan: the contract of `plan`, and how each step went.
#[derive(Serialize)]
struct Applied<'a> {
    at: Timestamp,
    steps: Vec<AppliedStep<'a>>,
    skipped: Vec<Placed<'a, Skip>>,
    /// What came up after the question, and so was not done.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unconfirmed: Vec<Placed<'a, Step>>,
    next_edge: Option<Timestamp>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unanswered: Vec<Unanswered>,
}

#[derive(Serialize)]
struct AppliedStep<'a> {
    #[serde(flatten)]
    step: &'a Step,
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<&'a AccountId>,
    result: &'static str,
    after: Option<InstanceState>,
    /// Why it was dropped, if it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    because: Option<&'a str>,
    error: Option<String>,
    hint: Option<&'static str>,
}

impl<'a> AppliedStep<'a> {
    fn new(outcome: &'a Outcome, places: &'a Places) -> Self {
        let (result, after, error) = match &outcome.result {
            StepResult::Done { after } => ("done", Some(*after), None),
            StepResult::NotRemembered { after, error } => {
                ("not_remembered", Some(*after), Some(error))
            }
            StepResult::Failed(error) => ("failed", None, Some(error)),
            StepResult::Dropped { .. } => ("dropped", None, None),
            StepResult::OutOfTime => ("out_of_time", None, None),
        };
        let because = match &outcome.result {
            StepResult::Dropped { because } => Some(because.as_str()),
            _ => None,
        };
        Self {
            step: &outcome.step,
            account: places.account(&outcome.step.instance),
            result,
            after,
            because,
            error: error.map(ToString::to_string),
            hint: error.map(CloudError::hint),
        }
    }

    fn row(&self) -> Vec<String> {
        let result = match (&self.error, self.after, self.because) {
            (Some(error), ..) => error.clone(),
            (None, Some(after), _) if self.step.action == StepAction::Record => {
                format!("noted, still {after}")
            }
            (None, Some(after), _) => format!("done, now {after}"),
            (None, None, Some(because)) => format!("dropped: {because}"),
            (None, None, None) => self.result.replace('_', " "),
        };
        vec![
            self.step.instance.to_string(),
            or_dash(self.step.name.as_ref()),
            self.step.action.to_string(),
            self.step.cause.to_string(),
            result,
        ]
    }
}

fn report(
    context: &mut Context,
    seen: &Look,
    outcomes: &[Outcome],
    unconfirmed: &[Step],
) -> Result<(), CliError> {
    let Look { plan, places, .. } = seen;
    let applied = Applied {
        at: plan.at,
        steps: outcomes
            .iter()
            .map(|outcome| AppliedStep::new(outcome, places))
            .collect(),
        skipped: places.placed(&plan.skipped, |skip| &skip.instance),
        unconfirmed: places.placed(unconfirmed, |step| &step.instance),
        next_edge: plan.next_edge,
        unanswered: Unanswered::all(&seen.failures),
    };
    let reader = context.output.reader();
    context
        .output
        .print(&applied, |applied| summary(applied, places, reader))?;
    failure(outcomes)?;
    let governs_none = outcomes.is_empty() && plan.skipped.iter().all(is_ungoverned);
    if governs_none && seen.failures.is_empty() {
        return Err(curfew_core::select::SelectError::NothingGoverned.into());
    }
    Ok(())
}

fn is_ungoverned(skip: &Skip) -> bool {
    matches!(
        skip.reason,
        SkipReason::Ungoverned | SkipReason::OptedOut { .. }
    )
}

/// What was done, failures first, and the sum of it.
fn summary(applied: &Applied<'_>, places: &Places, reader: Reader) -> String {
    let mut steps: Vec<&AppliedStep<'_>> = applied.steps.iter().collect();
    steps.sort_by_key(|step| step.result == "done");
    let mut text = String::new();
    if !steps.is_empty() {
        let header = places.header(&["instance", "name", "step", "cause", "result"]);
        let rows = steps.iter();
        let rows = rows.map(|step| places.row(&step.step.instance, step.row()));
        text = cut(&header, rows, steps.len(), reader) + "\n";
    }
    let done = steps.iter().filter(|step| step.result == "done");
    let done = tally(done.map(|step| step.step.action.to_string()));
    let failed = steps.iter().filter(|step| step.result != "done").count();
    let mut parts = Vec::new();
    match (done.is_empty(), failed) {
        (true, 0) => parts.push("Nothing to do".to_owned()),
        (true, _) => parts.push("Nothing done".to_owned()),
        (false, _) => parts.push(format!("Done: {done}")),
    }
    if failed > 0 {
        parts.push(format!("{} failed", count(failed)));
    }
    if !applied.unconfirmed.is_empty() {
        parts.push(format!(
            "{} not asked about",
            count(applied.unconfirmed.len())
        ));
    }
    parts.push(format!("{} left alone", count(applied.skipped.len())));
    text + &parts.join("; ") + "\n" + &next(applied.next_edge, applied.at)
}

/// The error that stands for all steps that did not go as planned: the first one's sentence, and how many they are. Where
/// all failed in one way, so does the command.
pub(crate) fn failure(outcomes: &[Outcome]) -> Result<(), CliError> {
    let failed: Vec<CliError> = outcomes
        .iter()
        .filter_map(|outcome| {
            let label = match &outcome.step.name {
                Some(name) => format!("`{}` ({})", outcome.step.instance, name.escape_debug()),
                None => format!("`{}`", outcome.step.instance),
            };
            match &outcome.result {
                // A newer word decided: that is no failure.
                StepResult::Done { .. } | StepResult::Dropped { .. } => None,
                StepResult::Failed(error) => Some(CliError::from(error.repeated()).about(&label)),
                StepResult::NotRemembered { error, .. } => {
                    let label = format!("{label} is done, and could not be remembered");
                    Some(CliError::from(error.repeated()).about(&label))
                }
                StepResult::OutOfTime => {
                    let message =
                        format!("{label}: its turn did not come before the plan's next edge");
                    let hint =
                        "from then on the plan is another one: look again with `curfew plan`";
                    Some(CliError::new(Exit::Failed, message).hint(hint))
                }
            }
        })
        .collect();
    let exits: Vec<Exit> = failed.iter().map(CliError::exit).collect();
    let number = failed.len();
    let Some(first) = failed.into_iter().next() else {
        return Ok(());
    };
    let exit = if exits.iter().all(|exit| *exit == exits[0]) {
        exits[0]
    } else {
        Exit::Failed
    };
    let among = match number {
        1 => "1 step failed".to_owned(),
        several => format!("{} steps failed, the first", count(several)),
    };
    Err(first.about(&among).exiting(exit))
}
