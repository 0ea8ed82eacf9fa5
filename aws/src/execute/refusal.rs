//! What EC2 refuses for an instance's own sake is remembered on it: when it is tried again is in the step.

use curfew_core::plan::{Remember, Step};

use super::memory::{Writes, alike};
use super::{Execution, Progress, StepResult};
use crate::error::{CloudError, CloudErrorKind};

/// What is remembered on the instance of a step that EC2 refused. Nothing where the refusal is not about the instance: what
/// was denied, not answered or not even asked is for the next pass.
pub fn refusal(step: &Step, error: &CloudError) -> Option<Remember> {
    let about_the_instance = match (error.operation, error.kind) {
        // Another type was only tried because there was no room for its own.
        (_, CloudErrorKind::Capacity)
        | ("ec2:ModifyInstanceAttribute", CloudErrorKind::Denied | CloudErrorKind::Refused) => true,
        ("ec2:StartInstances" | "ec2:StopInstances", CloudErrorKind::Refused) => {
            !error.is_inferred()
        }
        _ => false,
    };
    let next = step.if_refused.filter(|_| about_the_instance)?;
    Some(Remember::refused(
        next,
        error.code.as_deref().unwrap_or_default(),
    ))
}

impl Execution<'_> {
    pub(super) fn queue_refusals(&mut self) {
        let whole = self.progress.iter().zip(self.steps).zip(0..);
        let refused = whole.filter_map(|((progress, step), member)| match progress {
            Progress::Settled(StepResult::Failed(error)) => {
                Some((Writes::of(&refusal(step, error)?), member))
            }
            _ => None,
        });
        for (writes, members) in alike(refused) {
            for call in writes.calls() {
                self.queue_back(&call, &members);
            }
        }
    }
}
