//! `curfew apply`: runs one pass.

use std::collections::BTreeMap;
use std::io::{self, Write as _};

use clap::Args;
use curfew_aws::error::CloudError;
use curfew_aws::execute::Basis;
use curfew_aws::execute::{Outcome, StepResult};
use curfew_config::Configuration;
use curfew_core::error_code::DescribedError;
use curfew_core::instance::{AccountId, InstanceState};
use curfew_core::next_action::NextAction;
use curfew_core::plan::Plan;
use curfew_core::skip::{Skip, SkipReason};
use curfew_core::step::{Step, StepAction};
use jiff::Timestamp;
use serde::Serialize;

use super::plan::{PlannedPasses, describe, next, plan_passes};
use crate::alike;
use crate::confirm::{ConfirmArgs, Confirmation, Prompt, UnconfirmedChange};
use crate::error::all_answered;
use crate::fleet_view::{
    InstanceLocations, UnansweredRegionDocument, WithAccount, carry_out, failure, unanswered,
};
use crate::output::{count, tally};
use crate::output_target::OutputTarget;
use crate::progress;
use crate::table::{ATTENTION, Cell, Column, Table};
use crate::view::View;
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
        let target = OutputTarget::stderr();
        let plan = describe(&planned, &configuration, target).render(target);
        // Standard output is for the results. The view is escaped already, and a question would escape its colours.
        let _gone = writeln!(io::stderr(), "{plan}");
        confirmation.require(&change, &mut prompt)?;
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
    report(context, &configuration, &planned, &outcomes, &unconfirmed)?;
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
#[derive(Serialize, schemars::JsonSchema)]
pub(crate) struct AppliedPlan<'a> {
    /// The instant of the decision.
    at: Timestamp,
    /// The executed steps with their results.
    steps: Vec<AppliedStep<'a>>,
    /// The instances that the pass skipped, with the reasons.
    skipped: Vec<WithAccount<'a, Skip>>,
    /// The steps that were not confirmed and not executed; only if there are any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default)]
    unconfirmed: Vec<WithAccount<'a, Step>>,
    /// The earliest instant at which something is due after the steps.
    next: Option<NextAction>,
    /// The accounts and regions that did not answer; only if there are any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default)]
    unanswered: Vec<UnansweredRegionDocument>,
}

#[derive(Serialize, schemars::JsonSchema)]
struct AppliedStep<'a> {
    #[serde(flatten)]
    step: &'a Step,
    /// The account of the instance; only if several accounts are managed.
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<&'a AccountId>,
    /// The result: `done`, `not_remembered` (done, but the tag was not written), `failed`, `dropped` or `out_of_time`.
    result: &'static str,
    /// The state after the call; null if no call succeeded.
    after: Option<InstanceState>,
    /// Why the step was dropped; only if it was.
    #[serde(rename = "reason", skip_serializing_if = "Option::is_none")]
    because: Option<&'a str>,
    /// Why the step failed; null if it did not.
    error: Option<DescribedError>,
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
            error: error.map(CloudError::described),
        }
    }

    fn is_done(&self) -> bool {
        self.result == "done"
    }

    /// Describes the result, except for the reasons of failures.
    fn result(&self) -> String {
        match (self.after, self.because) {
            (Some(after), _) if !self.is_done() => format!("not recorded, now {after}"),
            (Some(after), _) if self.step.action == StepAction::Record => {
                format!("recorded, still {after}")
            }
            (Some(after), _) => format!("done, now {after}"),
            (None, _) => self.result.replace('_', " "),
        }
    }

    fn row(&self) -> Vec<Cell> {
        let (result, remark) = (
            Cell::from(self.result()),
            Cell::or_none(
                self.error
                    .as_ref()
                    .map(|error| error.message.as_str())
                    .or(self.because),
            ),
        );
        let (result, remark) = if self.is_done() {
            (result, remark)
        } else {
            (result.styled(ATTENTION), remark.styled(ATTENTION))
        };
        vec![
            self.step.instance.to_string().into(),
            Cell::or_none(self.step.name.as_ref()),
            self.step.action.to_string().into(),
            self.step.cause.to_string().into(),
            result,
            remark,
        ]
    }
}

fn report(
    context: &mut Context,
    configuration: &Configuration,
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
        next: plan.next,
        unanswered: unanswered(&planned.failures),
    };
    let target = context.output.target();
    context.output.print(&applied, |applied| {
        summary(applied, configuration, locations, target)
    })?;
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

/// Formats a summary and the results, failures first. A terminal gets groups of many steps that succeeded.
fn summary(
    applied: &AppliedPlan<'_>,
    configuration: &Configuration,
    locations: &InstanceLocations,
    target: OutputTarget,
) -> View {
    let mut steps: Vec<&AppliedStep<'_>> = applied.steps.iter().collect();
    let label = |step: &AppliedStep<'_>| alike::label(&step.step.instance, step.step.name.as_ref());
    steps.sort_by(|a, b| alike::by_name(&label(a), &label(b)));
    let (done, others): (Vec<_>, Vec<_>) = steps.into_iter().partition(|step| step.is_done());
    let mut view = View::default();
    view.line(totals(applied, &done, others.len()));
    view.line(next(configuration, applied.next, applied.at));
    let groups_done = target.groups() && done.len() > alike::SHOWN;
    let rows = others
        .iter()
        .chain(done.iter().filter(|_| !groups_done))
        .map(|step| locations.row(&step.step.instance, step.row()));
    let rows: Vec<Vec<Cell>> = rows.collect();
    if !rows.is_empty() {
        let columns = locations.columns([
            Column::whole("instance"),
            Column::text("name"),
            Column::whole("step"),
            Column::text("cause"),
            Column::text("result"),
            Column::remark("note"),
        ]);
        let table = Table::new(columns, rows);
        view.gap().table(table.with_common_remarks(alike::examples));
    }
    if groups_done {
        view.gap().line("Done:");
        let groups = alike::grouped(done, |step| {
            format!(
                "{}, {}: {}",
                step.step.action,
                step.step.cause,
                step.result()
            )
        });
        let line = |what: &String, group: &[&AppliedStep<'_>]| {
            alike::named(what, group.iter().map(|step| label(step)))
        };
        alike::list(&mut view, &groups, line, "`curfew history` shows all");
    }
    view
}

/// Formats the numbers: `Done: 2 stop; 1 failed; 3 left alone`.
fn totals(applied: &AppliedPlan<'_>, done: &[&AppliedStep<'_>], failed: usize) -> String {
    let tally = tally(done.iter().map(|step| step.step.action.to_string()));
    let mut parts = vec![match (done.is_empty(), failed) {
        (true, 0) => "Nothing to do".to_owned(),
        (true, _) => "Nothing done".to_owned(),
        (false, _) => format!("Done: {tally}"),
    }];
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
    parts.join("; ")
}
