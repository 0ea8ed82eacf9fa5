//! `curfew plan`: shows what a pass would do now.

use std::collections::BTreeSet;

use curfew_aws::execute::{Basis, Deadline};
use curfew_aws::organisation::{AccountRegionError, Organisation};
use curfew_aws::pass::Pass;
use curfew_aws::progress::Progress;
use curfew_config::Configuration;
use curfew_core::account_regions::AccountRegion;
use curfew_core::human_time;
use curfew_core::instance::InstanceId;
use curfew_core::next_action::NextAction;
use curfew_core::plan::Plan;
use curfew_core::skip::Skip;
use curfew_core::step::Step;
use jiff::Timestamp;
use serde::Serialize;

use crate::alike;
use crate::error::all_answered;
use crate::fleet_view::{
    InstanceLocations, InstanceZones, OBSERVING, UnansweredRegionDocument, WithAccount,
    observed_count, unanswered,
};
use crate::output::{count, counted, tally};
use crate::output_target::OutputTarget;
use crate::progress;
use crate::table::{Cell, Column, Table};
use crate::time_arg;
use crate::view::View;
use crate::{CliError, Context};

pub(crate) async fn plan(context: &mut Context) -> Result<(), CliError> {
    let (configuration, organisation) = context.organisation().await?;
    let progress = progress::if_terminal();
    let planned = plan_passes(context, &configuration, &organisation, progress.as_ref()).await?;
    drop(progress);
    let target = context.output.target();
    let document = PlanDocument::of(&planned);
    context
        .output
        .print(&document, |_| describe(&planned, &configuration, target))?;
    all_answered(planned.failures)
}

/// The planned passes of all account-regions.
pub(super) struct PlannedPasses {
    /// The pass of each account-region.
    pub(super) passes: Vec<(AccountRegion, Pass)>,
    /// The combined plan.
    pub(super) plan: Plan,
    pub(super) locations: InstanceLocations,
    pub(super) zones: InstanceZones,
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
    let instances = observed.answers.iter();
    let instances = instances.flat_map(|(_, pass)| &pass.instances);
    let zones = InstanceZones::of(&configuration.schedule_set, instances);
    let answers = observed.answers.into_iter();
    Ok(PlannedPasses {
        passes: answers
            .map(|(one, pass)| (one.account_region, pass))
            .collect(),
        plan,
        locations,
        zones,
        failures: observed.failures,
    })
}

/// Formats a plan. A terminal gets groups of what is alike; a pipe gets one line per instance.
pub(super) fn describe(
    planned: &PlannedPasses,
    configuration: &Configuration,
    target: OutputTarget,
) -> View {
    let PlannedPasses {
        plan,
        locations,
        zones,
        ..
    } = planned;
    let each = tally(plan.steps.iter().map(|step| step.action.to_string()));
    let left = count(plan.skipped.len());
    let mut steps: Vec<&Step> = plan.steps.iter().collect();
    let mut skipped: Vec<&Skip> = plan.skipped.iter().collect();
    steps.sort_by(|a, b| alike::by_name(&step_label(a), &step_label(b)));
    skipped.sort_by(|a, b| alike::by_name(&skip_label(a), &skip_label(b)));
    let mut view = View::default();
    match plan.steps.len() {
        0 => view.line(format!("Nothing to do; {left} left alone")),
        some => view.line(format!(
            "{}: {each}; {left} left alone",
            counted(some, "step")
        )),
    };
    view.line(next(configuration, plan.next, plan.at));
    if target.groups() && plan.steps.len() > alike::SHOWN {
        view.gap().line("Steps:");
        let groups = alike::grouped(steps, |step| {
            let note = step.note.as_ref().map(|note| format!(" ({note})"));
            format!(
                "{}, {}{}",
                step.action,
                step.cause,
                note.unwrap_or_default()
            )
        });
        alike::list(
            &mut view,
            &groups,
            |what, group| alike::named(what, group.iter().map(|step| step_label(step))),
            ALL,
        );
    } else if !plan.steps.is_empty() {
        view.gap().table(steps_table(&steps, locations));
    }
    if !plan.skipped.is_empty() {
        let because = |skip: &Skip| {
            let zone = zones.of_instance(&skip.instance);
            human_time::in_sentence(&skip.detail, &zone, plan.at).into_owned()
        };
        view.gap();
        if target.groups() {
            view.line("Left alone:");
            let groups = alike::grouped(skipped, |skip| because(skip));
            alike::list(
                &mut view,
                &groups,
                |because, group| alike::named(because, group.iter().map(|skip| skip_label(skip))),
                ALL,
            );
        } else {
            view.table(skipped_table(&skipped, locations, because));
        }
    }
    view
}

fn step_label(step: &Step) -> String {
    alike::label(&step.instance, step.name.as_ref())
}

fn skip_label(skip: &Skip) -> String {
    alike::label(&skip.instance, skip.name.as_ref())
}

/// What shows the instances that a terminal only counts.
const ALL: &str = "use `-o wide` for all";

pub(super) fn next(
    configuration: &Configuration,
    next: Option<NextAction>,
    now: Timestamp,
) -> String {
    let at = next.map(|next| {
        let zone = time_arg::edge_zone(configuration, next.at);
        human_time::with_distance(next.at, &zone, now)
    });
    format!("Next: {}", at.unwrap_or_else(|| "no edge".to_owned()))
}

fn steps_table(steps: &[&Step], locations: &InstanceLocations) -> Table {
    let columns = locations.columns([
        Column::whole("instance"),
        Column::text("name"),
        Column::whole("state"),
        Column::whole("step"),
        Column::text("cause"),
        Column::remark("note"),
    ]);
    let row = |step: &&Step| {
        let row = vec![
            step.instance.to_string().into(),
            Cell::or_none(step.name.as_ref()),
            Cell::state(step.state),
            step.action.to_string().into(),
            step.cause.to_string().into(),
            Cell::or_none(step.note.as_ref()),
        ];
        locations.row(&step.instance, row)
    };
    Table::new(columns, steps.iter().map(row)).with_common_remarks(alike::examples)
}

fn skipped_table(
    skipped: &[&Skip],
    locations: &InstanceLocations,
    because: impl Fn(&Skip) -> String,
) -> Table {
    let columns = locations.columns([
        Column::whole("left alone"),
        Column::text("name"),
        Column::whole("state"),
        Column::remark("because"),
    ]);
    let row = |skip: &&Skip| {
        let row = vec![
            skip.instance.to_string().into(),
            Cell::or_none(skip.name.as_ref()),
            Cell::state(skip.state),
            because(skip).into(),
        ];
        locations.row(&skip.instance, row)
    };
    Table::new(columns, skipped.iter().map(row)).with_common_remarks(alike::examples)
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
    next: Option<NextAction>,
    /// The accounts and regions that did not answer; only if there are any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default)]
    unanswered: Vec<UnansweredRegionDocument>,
}

impl<'a> PlanDocument<'a> {
    fn of(planned: &'a PlannedPasses) -> Self {
        let locations = &planned.locations;
        let Plan {
            at,
            steps,
            skipped,
            next,
            valid_until: _,
        } = &planned.plan;
        Self {
            unanswered: unanswered(&planned.failures),
            at: *at,
            steps: locations.with_accounts(steps, |step| &step.instance),
            skipped: locations.with_accounts(skipped, |skip| &skip.instance),
            next: *next,
        }
    }
}
