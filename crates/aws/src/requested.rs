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
use crate::execute::{Basis, Deadline, Order, Outcome, StepResult, write_request_tags};
use crate::fleet::{Fleet, Scope};
use crate::pass::Pass;

/// Executes the steps of a request, planned on `instances`: one `CreateTags` for equal tags, one observation of the tagged
/// instances, and a pass over them. Steps whose tag can't be written are not executed.
pub(crate) async fn carry_out(
    fleet: &Fleet,
    schedule_set: &ScheduleSet,
    instances: &[Instance],
    steps: Vec<Step>,
    clock: &Clock,
    deadline: Deadline,
) -> Vec<Outcome> {
    let basis = Basis {
        schedule_set,
        request: None,
        triggered_for: None,
        clock,
    };
    let asked = Plan {
        at: clock.now(),
        steps,
        skipped: Vec::new(),
        next_edge: None,
        outdated_at: None,
    };
    let order = Order {
        plan: &asked,
        instances,
        begun: &vec![Instant::now(); instances.len()],
        basis,
    };
    let (written, mut outcomes) = write_request_tags(fleet, order, deadline).await;
    if written.is_empty() {
        return outcomes;
    }
    let ids = written.iter().map(|step| step.instance.clone()).collect();
    let mut fresh = match fleet.look(&Scope::Only(ids)).await {
        Ok(fresh) => fresh,
        Err(error) => {
            outcomes.extend(written.into_iter().map(|step| Outcome {
                step,
                result: StepResult::Failed(error.repeated()),
                request_written: true,
            }));
            return outcomes;
        }
    };
    let words: HashMap<&InstanceId, &Step> =
        written.iter().map(|step| (&step.instance, step)).collect();
    for instance in &mut fresh.instances {
        if let Some(word) = words
            .get(&instance.id)
            .and_then(|step| step.request_tags.as_ref())
        {
            word.complete(&mut instance.tags);
        }
    }
    let mut pass = Pass::decide(fresh, basis, clock.now());
    Box::pin(pass.carry_out(fleet, basis, deadline)).await;
    let fresh = pass.instances;
    let mut done: HashMap<InstanceId, Outcome> = (pass.outcomes)
        .into_iter()
        .map(|outcome| (outcome.step.instance.clone(), outcome))
        .collect();
    outcomes.extend(written.into_iter().map(|asked| {
        let mut outcome = done
            .remove(&asked.instance)
            .unwrap_or_else(|| nothing_to_do(&asked, &fresh));
        outcome.step.request_tags = asked.request_tags;
        outcome.request_written = true;
        outcome
    }));
    outcomes
}

/// The outcome if no step is needed now: the instance is changing its state, or another pass has applied the request.
fn nothing_to_do(asked: &Step, fresh: &[Instance]) -> Outcome {
    let seen = fresh.iter().find(|one| one.id == asked.instance);
    let state = seen.map_or(asked.state, |instance| instance.state);
    let mut step = Step {
        state,
        action: StepAction::Record,
        types: None,
        adopt: None,
        ..asked.clone()
    };
    if asked.action != StepAction::Record {
        step.note = Some(format!("it is {state} now; a later pass continues"));
    }
    Outcome {
        step,
        result: StepResult::Done { after: state },
        request_written: true,
    }
}
