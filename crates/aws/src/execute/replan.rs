//! Observes and plans again before a call if its observation is more than a few seconds old. A step that comes out different
//! is dropped: the newest decision counts, and the next pass executes it.

use std::collections::HashMap;

use curfew_core::instance::InstanceId;
use curfew_core::state_tags::whole_second;
use curfew_core::step::Step;
use curfew_core::timetable::Edge;
use jiff::Timestamp;
use tokio::time::Instant;

use super::{Basis, Batch, BatchEnd, Execution, StepResult};
use crate::error::{CloudError, CloudErrorKind};
use crate::fleet::Observation;

impl Execution<'_> {
    /// Plans the members of a batch on a new observation, and keeps those with the same step.
    pub(super) fn replan(&mut self, batch: &Batch, observed: &Observation) {
        // The request is in the tags by now, along with newer ones.
        let without_request = Basis {
            request: None,
            ..self.basis
        };
        let plan = without_request.plan(&observed.instances, self.basis.clock.now());
        let steps: HashMap<&InstanceId, &Step> =
            plan.steps.iter().map(|one| (&one.instance, one)).collect();
        let skips: HashMap<&InstanceId, &str> = (plan.skipped.iter())
            .map(|skip| (&skip.instance, skip.detail.as_str()))
            .collect();
        let begun: HashMap<&InstanceId, Instant> = (observed.instances.iter())
            .map(|one| &one.id)
            .zip(observed.begun.iter().copied())
            .collect();
        let mut kept = Vec::new();
        for member in &batch.members {
            let step = &self.steps[*member];
            let Some(begun) = begun.get(&step.instance) else {
                let error = CloudError::new(
                    "ec2:DescribeInstances",
                    CloudErrorKind::Service,
                    format!("the response does not include `{}`", step.instance),
                );
                self.settle(&batch.call, *member, StepResult::Failed(error));
                continue;
            };
            let again = steps.get(&step.instance).copied();
            if again.is_some_and(|again| is_same((step, self.decided_at), (again, plan.at))) {
                self.observed_at[*member] = self.guard.moment(*begun);
                kept.push(*member);
                continue;
            }
            let because = match (again, skips.get(&step.instance)) {
                (Some(again), _) => format!("now it is to {} for {}", again.action, again.cause),
                (None, Some(detail)) => (*detail).to_owned(),
                (None, None) => "no action is due now".to_owned(),
            };
            self.settle(&batch.call, *member, StepResult::Dropped { because });
        }
        self.queue_due_tags();
        if kept.is_empty() {
            self.on_end(batch, BatchEnd::Unknown);
        } else {
            self.queue.push_front(batch.with_members(kept));
        }
    }

    /// Handles a failed observation of a batch's members: their call is not made.
    pub(super) fn observation_failed(&mut self, batch: &Batch, error: &CloudError) {
        match error.kind {
            // One terminated instance fails the observation of all.
            CloudErrorKind::NotFound => self.isolate(batch, error),
            _ => {
                self.breaker.failed(error);
                self.fail(batch, &batch.members, error);
                self.on_end(batch, BatchEnd::Unknown);
            }
        }
    }
}

/// Whether two steps, each with the instant of its decision, make the same change for the same reason. Not compared: the
/// types that a start tries, which change while they are tried, and the tags, which follow from the rest.
fn is_same((step, at): (&Step, Timestamp), (again, later): (&Step, Timestamp)) -> bool {
    let is_undated = |edge: Edge, now| edge.at == whole_second(now);
    let same_edge = match (step.edge, again.edge) {
        // An edge that no schedule dates has the instant of the decision.
        (Some(one), Some(other)) if is_undated(one, at) && is_undated(other, later) => {
            one.action == other.action
        }
        (one, other) => one == other,
    };
    same_edge && (step.action, &step.cause) == (again.action, &again.cause)
}
