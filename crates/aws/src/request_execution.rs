//! Executes a request in one account-region.
//!
//! No request is lost: its tag is written first, then the instances are observed, then the call is made, and then
//! `curfew:last` is written. A concurrent pass sees the tag, or its effect is observed.

use std::collections::HashMap;

use curfew_core::instance::{Instance, InstanceId};
use curfew_core::plan::Plan;
use curfew_core::schedule_set::ScheduleSet;
use curfew_core::step::{Step, StepAction};
use tokio::time::Instant;

use crate::clock::Clock;
use crate::execute::{Basis, Deadline, Outcome, PlanToExecute, StepResult, write_request_tags};
use crate::fleet::{Fleet, Scope};
use crate::pass::Pass;

/// Executes the steps of a request, planned on `instances`: one `CreateTags` for equal tags, one observation of the tagged
/// instances, and a pass over them. If a step's tag can't be written, the step is not executed.
pub(crate) async fn carry_out(
    fleet: &Fleet,
    schedule_set: &ScheduleSet,
    instances: &[Instance],
    steps: Vec<Step>,
    clock: &Clock,
    deadline: Deadline,
) -> Vec<Outcome> {
    let basis = Basis::new(schedule_set, clock);
    let plan = Plan {
        at: clock.now(),
        steps,
        skipped: Vec::new(),
        next: None,
        valid_until: None,
    };
    let to_execute = PlanToExecute {
        plan: &plan,
        instances,
        observed_at: &vec![Instant::now(); instances.len()],
        basis,
    };
    let (written, mut outcomes) = write_request_tags(fleet, to_execute, deadline).await;
    if written.is_empty() {
        return outcomes;
    }
    let ids = written.iter().map(|step| step.instance.clone()).collect();
    let mut observed = match fleet.observe(&Scope::Only(ids)).await {
        Ok(observed) => observed,
        Err(error) => {
            outcomes.extend(written.into_iter().map(|step| Outcome {
                step,
                result: StepResult::Failed(error.repeated()),
                request_written: true,
            }));
            return outcomes;
        }
    };
    let steps_by_id: HashMap<&InstanceId, &Step> =
        written.iter().map(|step| (&step.instance, step)).collect();
    for instance in &mut observed.instances {
        if let Some(request_tags) = steps_by_id
            .get(&instance.id)
            .and_then(|step| step.request_tags.as_ref())
        {
            request_tags.complete(&mut instance.tags);
        }
    }
    let mut pass = Pass::decide(observed, basis, clock.now());
    Box::pin(pass.carry_out(fleet, basis, deadline)).await;
    let observed = pass.instances;
    let mut done: HashMap<InstanceId, Outcome> = (pass.outcomes)
        .into_iter()
        .map(|outcome| (outcome.step.instance.clone(), outcome))
        .collect();
    outcomes.extend(written.into_iter().map(|step| {
        let mut outcome = done
            .remove(&step.instance)
            .unwrap_or_else(|| nothing_to_do(&step, &observed));
        outcome.step.request_tags = step.request_tags;
        outcome.request_written = true;
        outcome
    }));
    outcomes
}

/// The outcome if no step is needed now: the instance is changing its state, or another pass has applied the request.
fn nothing_to_do(requested: &Step, observed: &[Instance]) -> Outcome {
    let instance_now = observed.iter().find(|one| one.id == requested.instance);
    let state = instance_now.map_or(requested.state, |instance| instance.state);
    let mut step = Step {
        state,
        action: StepAction::Record,
        types: None,
        initial_tag: None,
        ..requested.clone()
    };
    if requested.action != StepAction::Record {
        step.note = Some(format!("it is {state} now; a later pass continues"));
    }
    Outcome {
        step,
        result: StepResult::Done { after: state },
        request_written: true,
    }
}
