//! `curfew plan`: what a pass would do now.

use std::collections::{BTreeMap, BTreeSet};

use curfew_aws::execute::Deadline;
use curfew_aws::organisation::{AccountRegionError, Organisation};
use curfew_aws::pass::{Pass, PassTrigger};
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
use crate::everywhere::{LOOKING, Placed, Places, Unanswered, looked_at};
use crate::output::{Reader, count, counted, moment_here, or_dash, table_for};
use crate::progress;
use crate::{CliError, Context};

pub(crate) async fn plan(context: &mut Context) -> Result<(), CliError> {
    let (configuration, organisation) = context.organisation().await?;
    let progress = progress::for_watchers();
    let seen = look(context, &configuration, &organisation, progress.as_ref()).await?;
    drop(progress);
    let reader = context.output.reader();
    let document = Document::of(&seen);
    context
        .output
        .print(&document, |_| describe(&seen.plan, &seen.places, reader))?;
    all_answered(seen.failures)
}

/// What a pass would do now, and where.
pub(super) struct Look {
    /// Where each of its parts is to be done.
    pub(super) passes: Vec<(AccountRegion, Pass)>,
    /// All of it.
    pub(super) plan: Plan,
    pub(super) places: Places,
    pub(super) failures: Vec<AccountRegionError>,
}

impl Look {
    /// Does these steps nowhere.
    pub(super) fn leave_out(&mut self, steps: &[Step]) {
        let left_out: BTreeSet<&InstanceId> = steps.iter().map(|step| &step.instance).collect();
        for (_, pass) in &mut self.passes {
            let steps = &mut pass.plan.steps;
            steps.retain(|step| !left_out.contains(&step.instance));
        }
    }
}

pub(super) async fn look(
    context: &Context,
    configuration: &Configuration,
    organisation: &Organisation,
    progress: &dyn Progress,
) -> Result<Look, CliError> {
    let (schedule_set, clock) = (&configuration.schedule_set, &context.clock);
    let looking = organisation.look(schedule_set, &PassTrigger::ROUTINE, clock, Deadline::NONE);
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
        passes: answers
            .map(|(one, pass)| (one.account_region, pass))
            .collect(),
        plan,
        places,
        failures: survey.failures,
    })
}

/// Rows that people still read on a terminal; the rest is counted.
const SHOWN: usize = 20;

/// A plan for people. On a terminal what is alike is grouped and what is long is cut; a pipe gets a line for each instance.
pub(super) fn describe(plan: &Plan, places: &Places, reader: Reader) -> String {
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

pub(super) fn next(edge: Option<Timestamp>, now: Timestamp) -> String {
    let at = edge.map(|at| moment_here(at, now));
    format!("\nNext edge: {}\n", or_dash(at))
}

/// `2 start, 9,950 stop`.
pub(super) fn tally(words: impl Iterator<Item = String>) -> String {
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
pub(super) fn cut(
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
            let rows = groups.iter().map(|(because, account_regions)| {
                vec![
                    count(account_regions.len()),
                    (*because).to_owned(),
                    examples(account_regions),
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
    groups.sort_by_key(|(_, account_regions)| std::cmp::Reverse(account_regions.len()));
    groups
}

/// A few of a group: all of a small fleet, and of a large one enough to see what sort it is.
fn examples(account_regions: &[&Skip]) -> String {
    const FEW: usize = 3;
    let label = |skip: &&Skip| match &skip.name {
        Some(name) => format!("{} ({})", name.escape_debug(), skip.instance),
        None => skip.instance.to_string(),
    };
    let mut labels: Vec<String> = account_regions.iter().take(FEW).map(label).collect();
    if account_regions.len() > FEW {
        labels.push(format!("and {} more", count(account_regions.len() - FEW)));
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

/// A [`Plan`], with accounts where several are managed.
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
