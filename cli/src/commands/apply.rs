//! `curfew apply`: runs one pass.

use std::collections::BTreeMap;
use std::io::{self, Write as _};

use clap::Args;
use curfew_aws::error::CloudError;
use curfew_aws::execute::Basis;
use curfew_aws::execute::{Outcome, StepResult};
use curfew_core::instance::{AccountId, InstanceState};
use curfew_core::plan::Plan;
use curfew_core::skip::{Skip, SkipReason};
use curfew_core::step::{Step, StepAction};
use jiff::Timestamp;
use serde::Serialize;

use super::plan::{PlannedPasses, cut, describe, next, plan_passes, tally};
use crate::confirm::{ConfirmArgs, Confirmation, Prompt, UnconfirmedChange};
use crate::error::all_answered;
use crate::fleet_view::{InstanceLocations, UnansweredRegion, WithAccount, carry_out, failure};
use crate::output::{OutputTarget, count, or_dash};
use crate::progress;
use crate::{CliError, Context};

/// The options of `apply`.
#[derive(Debug, Args)]
pub(crate) struct ApplyArgs {
    #[command(flatten)]
    confirm: ConfirmArgs,
}

pub(crate) async fn apply(context: &mut Context, args: ApplyArgs) -> Result<(), CliError> {
    let confirmation = args.confirm.confirmation();
    let mut prompt = Prompt::stdio();
    let change = UnconfirmedChange {
        action: "apply",
        reason: None,
        question: "Apply?",
        declined: "nothing was applied",
        hint: "pass --yes, or check with `curfew plan` first",
    };
    confirmation.check_possible(&change, &prompt)?;
    let (configuration, organisation) = context.organisation().await?;
    let progress = progress::if_terminal();
    let mut planned =
        plan_passes(context, &configuration, &organisation, progress.as_ref()).await?;
    let mut unconfirmed = Vec::new();
    if confirmation == Confirmation::Ask && !planned.plan.steps.is_empty() {
        let plan = describe(&planned.plan, &planned.locations, OutputTarget::stderr());
        let question = &format!("{plan}\nApply?");
        confirmation.require(&UnconfirmedChange { question, ..change }, &mut prompt)?;
        // The fleet may have changed, or an edge may have passed, while the prompt waited.
        let confirmed = planned.plan;
        planned = plan_passes(context, &configuration, &organisation, progress.as_ref()).await?;
        let Reconfirmed { fresh, gone } = keep_confirmed(&confirmed, &mut planned.plan);
        planned.leave_out(&fresh);
        if let Some(change) = plan_changes(&fresh, gone) {
            // Prompts are on standard error too.
            let _gone = writeln!(io::stderr(), "{change}");
        }
        unconfirmed = fresh;
    }
    let passes = std::mem::take(&mut planned.passes);
    let basis = Basis::new(&configuration.schedule_set, &context.clock);
    let outcomes = carry_out(&organisation, passes, basis, progress.as_ref()).await;
    drop(progress);
    report(context, &planned, &outcomes, &unconfirmed)?;
    all_answered(planned.failures)
}

/// The changes in a plan since its confirmation.
#[derive(Debug, PartialEq)]
struct Reconfirmed {
    /// The new steps, which are not confirmed.
    fresh: Vec<Step>,
    /// The number of confirmed steps that are not needed any more.
    gone: usize,
}

/// Removes unconfirmed steps from the plan `now`, so that only confirmed steps are executed.
fn keep_confirmed(confirmed: &Plan, now: &mut Plan) -> Reconfirmed {
    let same =
        |a: &Step, b: &Step| (&a.instance, a.action, &a.cause) == (&b.instance, b.action, &b.cause);
    let by_instance: BTreeMap<_, _> = confirmed
        .steps
        .iter()
        .map(|step| (&step.instance, step))
        .collect();
    let was_confirmed = |step: &Step| {
        by_instance
            .get(&step.instance)
            .is_some_and(|confirmed| same(confirmed, step))
    };
    let (kept, fresh): (Vec<Step>, Vec<Step>) = std::mem::take(&mut now.steps)
        .into_iter()
        .partition(was_confirmed);
    let gone = confirmed.steps.len() - kept.len();
    now.steps = kept;
    Reconfirmed { fresh, gone }
}

fn plan_changes(fresh: &[Step], gone: usize) -> Option<String> {
    let steps = |number: usize, one: &str, several: &str| match number {
        0 => None,
        1 => Some(format!("1 {one}")),
        number => Some(format!("{} {several}", count(number))),
    };
    let sentences: Vec<String> = [
        steps(
            gone,
            "step is no longer needed",
            "steps are no longer needed",
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
    let changed = "the plan has changed since the prompt";
    (!sentences.is_empty()).then(|| format!("{changed}: {}", sentences.join("; ")))
}

/// The JSON form of an applied plan: that of `plan`, with the result of each step.
#[derive(Serialize)]
struct AppliedPlan<'a> {
    at: Timestamp,
    steps: Vec<AppliedStep<'a>>,
    skipped: Vec<WithAccount<'a, Skip>>,
    /// The steps that were not confirmed and not executed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unconfirmed: Vec<WithAccount<'a, Step>>,
    next_edge: Option<Timestamp>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unanswered: Vec<UnansweredRegion>,
}

#[derive(Serialize)]
struct AppliedStep<'a> {
    #[serde(flatten)]
    step: &'a Step,
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<&'a AccountId>,
    result: &'static str,
    after: Option<InstanceState>,
    /// The reason if the step was dropped.
    #[serde(skip_serializing_if = "Option::is_none")]
    because: Option<&'a str>,
    error: Option<String>,
    hint: Option<&'static str>,
}

impl<'a> AppliedStep<'a> {
    fn new(outcome: &'a Outcome, locations: &'a InstanceLocations) -> Self {
        let (result, after, error) = match &outcome.result {
            StepResult::Done { after } => ("done", Some(*after), None),
            StepResult::TagsNotWritten { after, error } => {
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
            account: locations.account(&outcome.step.instance),
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
                format!("recorded, still {after}")
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
    planned: &PlannedPasses,
    outcomes: &[Outcome],
    unconfirmed: &[Step],
) -> Result<(), CliError> {
    let PlannedPasses {
        plan, locations, ..
    } = planned;
    let applied = AppliedPlan {
        at: plan.at,
        steps: outcomes
            .iter()
            .map(|outcome| AppliedStep::new(outcome, locations))
            .collect(),
        skipped: locations.with_accounts(&plan.skipped, |skip| &skip.instance),
        unconfirmed: locations.with_accounts(unconfirmed, |step| &step.instance),
        next_edge: plan.next_edge,
        unanswered: UnansweredRegion::all(&planned.failures),
    };
    let target = context.output.target();
    context
        .output
        .print(&applied, |applied| summary(applied, locations, target))?;
    failure(outcomes)?;
    let manages_none = outcomes.is_empty() && plan.skipped.iter().all(is_unmanaged);
    if manages_none && planned.failures.is_empty() {
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

/// Formats the results, failures first, and a summary.
fn summary(
    applied: &AppliedPlan<'_>,
    locations: &InstanceLocations,
    target: OutputTarget,
) -> String {
    let mut steps: Vec<&AppliedStep<'_>> = applied.steps.iter().collect();
    steps.sort_by_key(|step| step.result == "done");
    let mut text = String::new();
    if !steps.is_empty() {
        let header = locations.header(&["instance", "name", "step", "cause", "result"]);
        let rows = steps.iter();
        let rows = rows.map(|step| locations.row(&step.step.instance, step.row()));
        text = cut(&header, rows, steps.len(), target) + "\n";
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
            "{} not confirmed",
            count(applied.unconfirmed.len())
        ));
    }
    parts.push(format!("{} left alone", count(applied.skipped.len())));
    text + &parts.join("; ") + "\n" + &next(applied.next_edge, applied.at)
}
