//! `curfew apply`.

use std::collections::BTreeMap;
use std::io::{self, Write as _};

use clap::Args;
use curfew_aws::error::CloudError;
use curfew_aws::execute::{Outcome, StepResult};
use curfew_aws::pass::PassTrigger;
use curfew_core::instance::{AccountId, InstanceState};
use curfew_core::plan::Plan;
use curfew_core::skip::{Skip, SkipReason};
use curfew_core::step::{Step, StepAction};
use jiff::Timestamp;
use serde::Serialize;

use super::plan::{Look, cut, describe, look, next, tally};
use crate::error::all_answered;
use crate::everywhere::{Placed, Places, Unanswered, carry_out, failure};
use crate::output::{Reader, count, or_dash};
use crate::person::Person;
use crate::progress;
use crate::{CliError, Context, Exit};

/// How `apply` asks.
#[derive(Debug, Args)]
pub(crate) struct ApplyArgs {
    /// Do not ask; needed where standard input is no terminal
    #[arg(long, short)]
    yes: bool,
}

pub(crate) async fn apply(context: &mut Context, args: ApplyArgs) -> Result<(), CliError> {
    let asks = !args.yes;
    let mut person = Person::here();
    if asks && !person.is_there() {
        let message = "`curfew apply` asks before it acts, and standard input is no terminal";
        let hint = "say --yes, or look first with `curfew plan`";
        return Err(CliError::new(Exit::Usage, message).hint(hint));
    }
    let (configuration, organisation) = context.organisation().await?;
    let progress = progress::for_watchers();
    let mut seen = look(context, &configuration, &organisation, progress.as_ref()).await?;
    let mut unconfirmed = Vec::new();
    if asks && !seen.plan.steps.is_empty() {
        let question = describe(&seen.plan, &seen.places, Reader::stderr());
        if !person.confirms(&format!("{question}\nDo this? [y/N] ")) {
            return Err(CliError::new(Exit::Failed, "nothing was done"));
        }
        // Whoever was asked took their time: others may have acted, and an edge may have passed.
        let asked = seen.plan;
        seen = look(context, &configuration, &organisation, progress.as_ref()).await?;
        let Reconfirmed { fresh, gone } = hold_to(&asked, &mut seen.plan);
        seen.leave_out(&fresh);
        if let Some(change) = told(&fresh, gone) {
            // Whoever was asked reads this where they were asked.
            let _gone = writeln!(io::stderr(), "{change}");
        }
        unconfirmed = fresh;
    }
    let passes = std::mem::take(&mut seen.passes);
    let basis = PassTrigger::ROUTINE.basis(&configuration.schedule_set, &context.clock);
    let outcomes = carry_out(&organisation, passes, basis, progress.as_ref()).await;
    drop(progress);
    report(context, &seen, &outcomes, &unconfirmed)?;
    all_answered(seen.failures)
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
    let manages_none = outcomes.is_empty() && plan.skipped.iter().all(is_unmanaged);
    if manages_none && seen.failures.is_empty() {
        return Err(curfew_core::select::SelectError::NothingManaged.into());
    }
    Ok(())
}

fn is_unmanaged(skip: &Skip) -> bool {
    matches!(
        skip.reason,
        SkipReason::Unmanaged | SkipReason::OptedOut { .. }
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
