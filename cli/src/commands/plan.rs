//! `curfew plan`: shows what a pass would do now.

use std::collections::{BTreeMap, BTreeSet};

use curfew_aws::execute::{Basis, Deadline};
use curfew_aws::organisation::{AccountRegionError, Organisation};
use curfew_aws::pass::Pass;
use curfew_aws::progress::Progress;
use curfew_config::Configuration;
use curfew_core::account_regions::AccountRegion;
use curfew_core::instance::InstanceId;
use curfew_core::plan::Plan;
use curfew_core::skip::Skip;
use curfew_core::step::Step;
use jiff::Timestamp;
use serde::Serialize;

use crate::error::all_answered;
use crate::fleet_view::{
    InstanceLocations, OBSERVING, UnansweredRegion, WithAccount, observed_count,
};
use crate::output::{OutputTarget, count, counted, moment_here, or_dash, table_for};
use crate::progress;
use crate::{CliError, Context};

pub(crate) async fn plan(context: &mut Context) -> Result<(), CliError> {
    let (configuration, organisation) = context.organisation().await?;
    let progress = progress::if_terminal();
    let planned = plan_passes(context, &configuration, &organisation, progress.as_ref()).await?;
    drop(progress);
    let target = context.output.target();
    let document = PlanDocument::of(&planned);
    context.output.print(&document, |_| {
        describe(&planned.plan, &planned.locations, target)
    })?;
    all_answered(planned.failures)
}

/// The planned passes of all account-regions.
pub(super) struct PlannedPasses {
    /// The pass of each account-region.
    pub(super) passes: Vec<(AccountRegion, Pass)>,
    /// The combined plan.
    pub(super) plan: Plan,
    pub(super) locations: InstanceLocations,
    pub(super) failures: Vec<AccountRegionError>,
}

impl PlannedPasses {
    /// Removes these steps from all passes.
    pub(super) fn leave_out(&mut self, steps: &[Step]) {
        let left_out: BTreeSet<&InstanceId> = steps.iter().map(|step| &step.instance).collect();
        for (_, pass) in &mut self.passes {
            let steps = &mut pass.plan.steps;
            steps.retain(|step| !left_out.contains(&step.instance));
        }
    }
}

pub(super) async fn plan_passes(
    context: &Context,
    configuration: &Configuration,
    organisation: &Organisation,
    progress: &dyn Progress,
) -> Result<PlannedPasses, CliError> {
    let basis = Basis::new(&configuration.schedule_set, &context.clock);
    let observing = organisation.dry_run(basis, Deadline::NONE);
    let observed = progress::with_progress(progress, OBSERVING, observing, |observed| {
        let instances = observed
            .answers
            .iter()
            .map(|(_, pass)| pass.instances.len());
        observed_count(instances.sum())
    });
    let mut observed = observed.await;
    let Some(plan) = observed.plan() else {
        return Err(observed.failures.swap_remove(0).into());
    };
    let answers = observed.answers.iter();
    let answers = answers.map(|(one, pass)| (one, pass.instances.as_slice()));
    let locations = InstanceLocations::of(organisation, answers);
    let answers = observed.answers.into_iter();
    Ok(PlannedPasses {
        passes: answers
            .map(|(one, pass)| (one.account_region, pass))
            .collect(),
        plan,
        locations,
        failures: observed.failures,
    })
}

/// The number of table rows shown on a terminal.
const SHOWN: usize = 20;

/// Formats a plan. A terminal gets groups and truncated tables; a pipe gets one line per instance.
pub(super) fn describe(plan: &Plan, locations: &InstanceLocations, target: OutputTarget) -> String {
    let each = tally(plan.steps.iter().map(|step| step.action.to_string()));
    let left = count(plan.skipped.len());
    let mut text = match plan.steps.len() {
        0 => format!("Nothing to do; {left} left alone\n"),
        some => format!("{}: {each}; {left} left alone\n", counted(some, "step")),
    };
    if !plan.steps.is_empty() {
        let header = locations.header(&["instance", "name", "state", "step", "cause", "note"]);
        let rows = plan.steps.iter();
        let rows = rows.map(|step| locations.row(&step.instance, step_row(step)));
        text = text + "\n" + &cut(&header, rows, plan.steps.len(), target);
    }
    if !plan.skipped.is_empty() {
        text = text + "\n" + &skipped_table(&plan.skipped, locations, target);
    }
    text + &next(plan.next_edge, plan.at)
}

pub(super) fn next(edge: Option<Timestamp>, now: Timestamp) -> String {
    let at = edge.map(|at| moment_here(at, now));
    format!("\nNext edge: {}\n", or_dash(at))
}

/// Counts equal words: `2 start, 9,950 stop`.
pub(super) fn tally(words: impl Iterator<Item = String>) -> String {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for word in words {
        *counts.entry(word).or_default() += 1;
    }
    let parts: Vec<String> = counts
        .into_iter()
        .map(|(word, number)| format!("{} {word}", count(number)))
        .collect();
    parts.join(", ")
}

/// Renders a table, truncated on a terminal.
pub(super) fn cut(
    header: &[&str],
    rows: impl Iterator<Item = Vec<String>>,
    all: usize,
    target: OutputTarget,
) -> String {
    match target {
        OutputTarget::Pipe => table_for(target, header, rows),
        OutputTarget::Terminal if all <= SHOWN => table_for(target, header, rows),
        OutputTarget::Terminal => {
            let shown = table_for(target, header, rows.take(SHOWN));
            format!(
                "{shown}… and {} more; use `-o json` for all\n",
                count(all - SHOWN)
            )
        }
    }
}

fn skipped_table(skipped: &[Skip], locations: &InstanceLocations, target: OutputTarget) -> String {
    match target {
        OutputTarget::Pipe => {
            let row = |skip: &Skip| {
                let row = vec![
                    skip.instance.to_string(),
                    or_dash(skip.name.as_ref()),
                    skip.state.to_string(),
                    skip.detail.clone(),
                ];
                locations.row(&skip.instance, row)
            };
            let header = locations.header(&["left alone", "name", "state", "because"]);
            table_for(target, &header, skipped.iter().map(row))
        }
        OutputTarget::Terminal => {
            let groups = grouped(skipped);
            let rows = groups.iter().map(|(because, group)| {
                vec![count(group.len()), (*because).to_owned(), examples(group)]
            });
            cut(
                &["left alone", "because", "which"],
                rows,
                groups.len(),
                target,
            )
        }
    }
}

/// Groups skips by their reason, the largest group first.
fn grouped(skipped: &[Skip]) -> Vec<(&str, Vec<&Skip>)> {
    let mut groups: BTreeMap<&str, Vec<&Skip>> = BTreeMap::new();
    for skip in skipped {
        groups.entry(&skip.detail).or_default().push(skip);
    }
    let mut groups: Vec<_> = groups.into_iter().collect();
    groups.sort_by_key(|(_, group)| std::cmp::Reverse(group.len()));
    groups
}

/// Lists the first instances of a group.
fn examples(group: &[&Skip]) -> String {
    const FEW: usize = 3;
    let label = |skip: &&Skip| match &skip.name {
        Some(name) => format!("{} ({})", name.escape_debug(), skip.instance),
        None => skip.instance.to_string(),
    };
    let mut labels: Vec<String> = group.iter().take(FEW).map(label).collect();
    if group.len() > FEW {
        labels.push(format!("and {} more", count(group.len() - FEW)));
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

/// The JSON form of a [`Plan`], with accounts if several are managed.
#[derive(Serialize, schemars::JsonSchema)]
pub(crate) struct PlanDocument<'a> {
    /// The instant of the decision.
    at: Timestamp,
    /// The steps that a pass would execute now.
    steps: Vec<WithAccount<'a, Step>>,
    /// The instances that a pass would skip, with the reasons.
    skipped: Vec<WithAccount<'a, Skip>>,
    /// The earliest instant at which something is due after the steps.
    next_edge: Option<Timestamp>,
    /// The accounts and regions that did not answer; only if there are any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default)]
    unanswered: Vec<UnansweredRegion>,
}

impl<'a> PlanDocument<'a> {
    fn of(planned: &'a PlannedPasses) -> Self {
        let locations = &planned.locations;
        let Plan {
            at,
            steps,
            skipped,
            next_edge,
            valid_until: _,
        } = &planned.plan;
        Self {
            unanswered: UnansweredRegion::all(&planned.failures),
            at: *at,
            steps: locations.with_accounts(steps, |step| &step.instance),
            skipped: locations.with_accounts(skipped, |skip| &skip.instance),
            next_edge: *next_edge,
        }
    }
}
