//! Carrying out a request in one account-region.
//!
//! The order loses no request: its tag is written first, then the instances are observed, then comes the call, and then `curfew:last`.
//! A pass that runs meanwhile sees the tag, or its effect is observed.

use std::collections::HashMap;

use curfew_core::instance::{Instance, InstanceId};
use curfew_core::plan::Plan;
use curfew_core::schedule_set::ScheduleSet;
use curfew_core::step::{Step, StepAction};
use tokio::time::Instant;

use crate::clock::Clock;
use crate::execute::{Basis, Deadline, Order, Outcome, StepResult, say};
use crate::fleet::{Fleet, Scope};
use crate::pass::Pass;

/// Carries out the steps that a request came to, which were planned on `instances`: one `CreateTags` for what is said alike, one
/// look at those instances alone, and then a pass over them. What can't be said is not done.
pub(crate) async fn carry_out(
    fleet: &Fleet,
    schedule_set: &ScheduleSet,
    instances: &[Instance],
    steps: Vec<Step>,
    clock: &Clock,
    deadline: Deadline,
) -> Vec<Outcome> {
    let basis = Basis::new(schedule_set, clock);
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
    let (said, mut outcomes) = say(fleet, order, deadline).await;
    if said.is_empty() {
        return outcomes;
    }
    let ids = said.iter().map(|step| step.instance.clone()).collect();
    let mut fresh = match fleet.observe(&Scope::Only(ids)).await {
        Ok(fresh) => fresh,
        Err(error) => {
            outcomes.extend(said.into_iter().map(|step| Outcome {
                step,
                result: StepResult::Failed(error.repeated()),
                said: true,
            }));
            return outcomes;
        }
    };
    let words: HashMap<&InstanceId, &Step> =
        said.iter().map(|step| (&step.instance, step)).collect();
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
    outcomes.extend(said.into_iter().map(|asked| {
        let mut outcome = done
            .remove(&asked.instance)
            .unwrap_or_else(|| nothing_to_do(&asked, &fresh));
        outcome.step.request_tags = asked.request_tags;
        outcome.said = true;
        outcome
    }));
    outcomes
}

/// There is nothing to do for it now: EC2 is moving it, or another pass has applied the word already.
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
        step.note = Some(format!("it is {state} now; a later pass goes on"));
    }
    Outcome {
        step,
        result: StepResult::Done { after: state },
        said: true,
    }
}
