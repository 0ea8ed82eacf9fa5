//! `curfew plan`, `apply`, `status`, `start`, `stop`, `resume`: what is, what would be, and making it so.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IsTerminal};

use clap::Args;
use curfew_aws::error::CloudError;
use curfew_aws::execute::{Deadline, Outcome, StepResult};
use curfew_aws::fleet::Scope;
use curfew_aws::organisation::{Organisation, Whole};
use curfew_aws::pass::{Pass, WakeUp};
use curfew_core::assess::assess;
use curfew_core::instance::{InstanceId, InstanceState};
use curfew_core::memory::{Cause, Who};
use curfew_core::plan::{Plan, SkipReason, Step, World};
use curfew_core::request::{Ask, Lasting, Request};
use curfew_core::schedule::ScheduleName;
use curfew_core::timetable::{Desired, Edge};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;

use super::error::all_answered;
use super::output::{confirmed, moment, or_dash, table};
use super::{CliError, Context, Exit, time};
use crate::settings::Settings;

/// How `apply` asks.
#[derive(Debug, Args)]
pub(super) struct ApplyArgs {
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

/// Which instances.
#[derive(Debug, Args)]
pub(super) struct TargetArgs {
    /// Instances by id [default: the only governed one, if there is just one]
    #[arg(value_name = "INSTANCE")]
    instances: Vec<InstanceId>,
    /// All instances that this schedule governs
    #[arg(long, value_name = "NAME", conflicts_with = "instances")]
    schedule: Option<ScheduleName>,
    /// All governed instances
    #[arg(long, conflicts_with_all = ["instances", "schedule"])]
    all: bool,
}

/// Which instances, and for how long.
#[derive(Debug, Args)]
pub(super) struct ChangeArgs {
    #[command(flatten)]
    targets: TargetArgs,
    /// Hold them there for a length of time: 90m, 2h [default: until the next edge]
    #[arg(long = "for", value_name = "LENGTH", conflicts_with = "until")]
    length: Option<String>,
    /// Hold them there until an instant: 2026-11-23T22:00:00Z
    #[arg(long, value_name = "INSTANT")]
    until: Option<Timestamp>,
}

pub(super) async fn plan(context: &mut Context) -> Result<(), CliError> {
    let (settings, organisation) = context.organisation().await?;
    let seen = seen(context, &settings, &organisation).await?;
    context.output.print(&seen.pass.plan, describe)?;
    all_answered(seen.failures)
}

/// A look at everything, with the plan that a pass would have now.
async fn seen(
    context: &Context,
    settings: &Settings,
    organisation: &Organisation,
) -> Result<Whole, CliError> {
    let (governance, clock) = (&settings.governance, &context.clock);
    let survey = organisation
        .look(governance, &WakeUp::ROUTINE, clock, Deadline::NONE)
        .await;
    Ok(survey.whole()?)
}

fn describe(plan: &Plan) -> String {
    let mut text = match plan.steps.len() {
        0 => "nothing to do\n".to_owned(),
        _ => table(
            &["instance", "name", "state", "step", "cause", "note"],
            plan.steps.iter().map(step_row),
        ),
    };
    if !plan.skipped.is_empty() {
        let row = |skip: &curfew_core::plan::Skip| {
            vec![
                skip.instance.to_string(),
                or_dash(skip.name.as_ref()),
                skip.state.to_string(),
                skip.detail.clone(),
            ]
        };
        text.push('\n');
        text.push_str(&table(
            &["left alone", "name", "state", "because"],
            plan.skipped.iter().map(row),
        ));
    }
    let next = plan
        .next_edge
        .map(|at| moment(at, &TimeZone::system(), plan.at));
    text + &format!("\nnext edge: {}\n", or_dash(next))
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

/// What became of a plan: the contract of `plan`, and how each step went.
#[derive(Serialize)]
struct Applied<'a> {
    at: Timestamp,
    steps: Vec<AppliedStep<'a>>,
    skipped: &'a [curfew_core::plan::Skip],
    next_edge: Option<Timestamp>,
}

#[derive(Serialize)]
struct AppliedStep<'a> {
    #[serde(flatten)]
    step: &'a Step,
    result: &'static str,
    after: Option<InstanceState>,
    error: Option<String>,
    hint: Option<&'static str>,
}

impl<'a> AppliedStep<'a> {
    fn new(outcome: &'a Outcome) -> Self {
        let (result, after, error) = match &outcome.result {
            StepResult::Done { after } => ("done", Some(*after), None),
            StepResult::NotRemembered { after, error } => {
                ("not_remembered", Some(*after), Some(error))
            }
            StepResult::Failed(error) => ("failed", None, Some(error)),
            StepResult::OutOfTime => ("out_of_time", None, None),
        };
        Self {
            step: &outcome.step,
            result,
            after,
            error: error.map(ToString::to_string),
            hint: error.map(CloudError::hint),
        }
    }
}

pub(super) async fn apply(context: &mut Context, args: ApplyArgs) -> Result<(), CliError> {
    let (settings, organisation) = context.organisation().await?;
    if !args.yes && io::stdin().is_terminal() {
        let plan = seen(context, &settings, &organisation).await?.pass.plan;
        if !plan.steps.is_empty() && !confirmed(&format!("{}\nDo this? [y/N] ", describe(&plan))) {
            return Err(CliError::new(Exit::Failed, "nothing was done"));
        }
    }
    let done = pass(context, &settings, &organisation, &WakeUp::ROUTINE).await?;
    report(context, &done.pass)?;
    all_answered(done.failures)
}

/// One pass over everything that the wake-up is about.
async fn pass(
    context: &Context,
    settings: &Settings,
    organisation: &Organisation,
    wake_up: &WakeUp<'_>,
) -> Result<Whole, CliError> {
    let (governance, clock) = (&settings.governance, &context.clock);
    let survey = organisation
        .pass(governance, wake_up, clock, Deadline::NONE)
        .await;
    Ok(survey.whole()?)
}

fn report(context: &mut Context, done: &Pass) -> Result<(), CliError> {
    let applied = Applied {
        at: done.at,
        steps: done.outcomes.iter().map(AppliedStep::new).collect(),
        skipped: &done.plan.skipped,
        next_edge: done.plan.next_edge,
    };
    context.output.print(&applied, |applied| {
        let row = |step: &AppliedStep<'_>| {
            let result = match (&step.error, step.after) {
                (Some(error), _) => error.clone(),
                (None, Some(after)) => format!("{}, now {after}", step.result),
                (None, None) => step.result.replace('_', " "),
            };
            vec![
                step.step.instance.to_string(),
                or_dash(step.step.name.as_ref()),
                step.step.action.to_string(),
                step.step.cause.to_string(),
                result,
            ]
        };
        let skipped = applied.skipped.iter().map(|skip| {
            vec![
                skip.instance.to_string(),
                or_dash(skip.name.as_ref()),
                "-".into(),
                "-".into(),
                skip.detail.clone(),
            ]
        });
        let rows: Vec<Vec<String>> = applied.steps.iter().map(row).chain(skipped).collect();
        if rows.is_empty() {
            "no instances".into()
        } else {
            table(&["instance", "name", "step", "cause", "result"], rows)
        }
    })?;
    let failed = |outcome: &&Outcome| !matches!(outcome.result, StepResult::Done { .. });
    match done
        .outcomes
        .iter()
        .find(failed)
        .map(|outcome| &outcome.result)
    {
        None => Ok(()),
        Some(StepResult::Failed(error) | StepResult::NotRemembered { error, .. }) => {
            Err(CliError::from(error.repeated()))
        }
        Some(_) => Err(CliError::new(Exit::Failed, "not every step was done")),
    }
}

/// One instance in `curfew status -o json`.
#[derive(Serialize)]
struct InstanceStatus {
    id: InstanceId,
    name: Option<String>,
    state: InstanceState,
    schedule: Option<ScheduleName>,
    desired: Desired,
    hold: Option<String>,
    last_cause: Option<Cause>,
    next_edge: Option<Edge>,
    #[serde(skip)]
    zone: TimeZone,
    #[serde(skip)]
    why_not: Option<String>,
}

pub(super) async fn status(context: &mut Context) -> Result<(), CliError> {
    let (settings, organisation) = context.organisation().await?;
    let Whole {
        pass: seen,
        failures,
    } = seen(context, &settings, &organisation).await?;
    let world = World::unasked(&settings.governance, &seen.instances);
    let instances: Vec<InstanceStatus> = seen
        .instances
        .iter()
        .map(|instance| {
            let assessment = assess(instance, &world, seen.at);
            let zone = assessment
                .schedule
                .as_ref()
                .map(|schedule| schedule.timetable.time_zone().clone());
            InstanceStatus {
                id: instance.id.clone(),
                name: instance.name().map(str::to_owned),
                state: instance.state,
                schedule: assessment
                    .schedule
                    .as_ref()
                    .map(|schedule| schedule.name.clone()),
                desired: assessment.desired,
                hold: assessment.hold.map(|hold| hold.to_string()),
                last_cause: assessment.last.map(|last| last.cause),
                next_edge: assessment.next_edge,
                zone: zone.unwrap_or(TimeZone::UTC),
                why_not: match settings.governance.schedule_for(instance) {
                    Err(SkipReason::Ungoverned) | Ok(_) => None,
                    Err(reason) => Some(reason.detail(instance)),
                },
            }
        })
        .collect();
    context.output.print(&instances, |instances| {
        let row = |it: &InstanceStatus| {
            let next = it
                .next_edge
                .map(|edge| format!("{} {}", edge.action, moment(edge.at, &it.zone, seen.at)));
            vec![
                it.id.to_string(),
                or_dash(it.name.as_ref()),
                it.state.to_string(),
                or_dash(
                    it.schedule
                        .as_ref()
                        .map(ToString::to_string)
                        .or_else(|| it.why_not.clone()),
                ),
                it.desired.to_string(),
                or_dash(it.last_cause.as_ref()),
                or_dash(it.hold.as_ref()),
                or_dash(next),
            ]
        };
        let header = [
            "instance",
            "name",
            "state",
            "schedule",
            "desired",
            "last cause",
            "hold",
            "next edge",
        ];
        if instances.is_empty() {
            "no instances".into()
        } else {
            table(&header, instances.iter().map(row))
        }
    })?;
    all_answered(failures)
}

pub(super) async fn start(context: &mut Context, args: ChangeArgs) -> Result<(), CliError> {
    change(context, args, Ask::Start).await
}

pub(super) async fn stop(context: &mut Context, args: ChangeArgs) -> Result<(), CliError> {
    change(context, args, Ask::Stop).await
}

async fn change(
    context: &mut Context,
    args: ChangeArgs,
    ask: impl FnOnce(Lasting) -> Ask,
) -> Result<(), CliError> {
    let until = time::until(args.length.as_deref(), args.until, context.clock.now())?;
    request(
        context,
        args.targets,
        ask(until.map_or(Lasting::NextEdge, Lasting::Until)),
    )
    .await
}

pub(super) async fn resume(context: &mut Context, args: TargetArgs) -> Result<(), CliError> {
    request(context, args, Ask::Resume).await
}

async fn request(context: &mut Context, targets: TargetArgs, ask: Ask) -> Result<(), CliError> {
    let (settings, organisation) = context.organisation().await?;
    let targets = resolve(&organisation, &settings, targets).await?;
    let by = Who::new(&std::env::var("USER").unwrap_or_else(|_| "the command line".to_owned()));
    let wake_up = WakeUp {
        scope: Scope::Only(targets.clone()),
        request: Some(Request { ask, targets, by }),
        schedule: None,
    };
    let Whole {
        pass: done,
        failures,
    } = pass(context, &settings, &organisation, &wake_up).await?;
    report(context, &done)?;
    match done.plan.skipped.first() {
        Some(skip) if done.plan.steps.is_empty() => Err(CliError::new(
            Exit::NothingMatched,
            format!(
                "nothing was done about `{}`: {}",
                skip.instance, skip.detail
            ),
        )),
        _ => all_answered(failures),
    }
}

/// The instances that are meant. Ids that do not exist fail the whole request: nothing is half done.
async fn resolve(
    organisation: &Organisation,
    settings: &Settings,
    targets: TargetArgs,
) -> Result<BTreeSet<InstanceId>, CliError> {
    if !targets.instances.is_empty() {
        let wanted: BTreeSet<InstanceId> = targets.instances.into_iter().collect();
        let scope = Scope::Only(wanted.clone());
        let survey = organisation.observe(&scope, Deadline::NONE).await;
        let found: BTreeSet<InstanceId> = survey
            .answers
            .into_iter()
            .flat_map(|(_, instances)| instances)
            .map(|instance| instance.id)
            .collect();
        let missing: Vec<String> = wanted
            .difference(&found)
            .map(|id| format!("`{id}`"))
            .collect();
        if missing.is_empty() {
            return Ok(wanted);
        }
        // It may be where nobody answered.
        all_answered(survey.failures)?;
        let message = format!(
            "there is no instance {} in {}; nothing was done",
            missing.join(", "),
            place(organisation)
        );
        return Err(CliError::new(Exit::NothingMatched, message)
            .hint("check the id, the region and the account"));
    }
    let mut governed: BTreeMap<InstanceId, (Option<String>, ScheduleName)> = BTreeMap::new();
    let survey = organisation.observe(&Scope::All, Deadline::NONE).await;
    if !targets.all && targets.schedule.is_none() {
        // Whether there is only one can't be told while somebody does not answer.
        all_answered(survey.failures)?;
    }
    let instances = survey.answers.into_iter();
    for instance in instances.flat_map(|(_, instances)| instances) {
        if let Ok(schedule) = settings.governance.schedule_for(&instance) {
            governed.insert(
                instance.id.clone(),
                (instance.name().map(str::to_owned), schedule.name.clone()),
            );
        }
    }
    if let Some(name) = &targets.schedule {
        governed.retain(|_, (_, schedule)| schedule == name);
    }
    if governed.is_empty() {
        return Err(CliError::new(
            Exit::NothingMatched,
            "no governed instance matches",
        ));
    }
    if governed.len() > 1 && !targets.all && targets.schedule.is_none() {
        let choices: Vec<String> = governed
            .iter()
            .map(|(id, (name, _))| format!("{id} ({})", or_dash(name.as_ref())))
            .collect();
        return Err(CliError::new(
            Exit::Usage,
            "several instances are governed: name one, or say --all",
        )
        .hint(format!("there is {}", choices.join(", "))));
    }
    Ok(governed.into_keys().collect())
}

/// Where was looked, in words.
pub(super) fn place(organisation: &Organisation) -> String {
    match organisation.members() {
        [only] => only.member.to_string(),
        several => format!("the {} accounts and regions of the settings", several.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_plan_says_so() {
        let at: Timestamp = "2026-11-23T12:00:00Z".parse().unwrap();
        let plan = Plan {
            at,
            steps: Vec::new(),
            skipped: Vec::new(),
            next_edge: None,
        };
        assert_eq!(describe(&plan), "nothing to do\n\nnext edge: -\n");
    }
}
