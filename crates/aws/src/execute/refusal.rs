//! Records on an instance that EC2 refused its step for a reason specific to it; the step has the time of the retry.

use curfew_core::step::{Step, TagChanges};

use super::tag_writes::{TagEdit, grouped};
use super::{Execution, StepProgress, StepResult};
use crate::error::{CloudError, CloudErrorKind};

/// The tags that record EC2's refusal of a step. None if the refusal is not specific to the instance: what was denied, not
/// answered or not sent is left to the next pass.
pub fn refusal(step: &Step, error: &CloudError) -> Option<TagChanges> {
    let is_of_a_change = ["ec2:StartInstances", "ec2:StopInstances"].contains(&error.operation);
    let about_the_instance = match error.kind {
        CloudErrorKind::Capacity => true,
        // Another type is only tried when there is no capacity for the instance's own. With known credentials, a denial is
        // specific to the instance, such as to its image; a missing permission is left to the next pass, after it was
        // granted.
        CloudErrorKind::Denied => {
            error.operation == "ec2:ModifyInstanceAttribute"
                || (is_of_a_change && !error.is_inferred() && error.code_starts_with("AuthFailure"))
        }
        // An instance that is gone needs no record; a missing resource of the instance does, since a person has to restore
        // it.
        CloudErrorKind::NotFound => {
            is_of_a_change && !error.is_inferred() && !error.code_starts_with("InvalidInstanceID.")
        }
        CloudErrorKind::Account
        | CloudErrorKind::Quota
        | CloudErrorKind::WrongState
        | CloudErrorKind::Refused => {
            error.operation == "ec2:ModifyInstanceAttribute"
                || (is_of_a_change && !error.is_inferred())
        }
        CloudErrorKind::Unreachable
        | CloudErrorKind::NotSent
        | CloudErrorKind::Credentials
        | CloudErrorKind::Expired
        | CloudErrorKind::Throttled
        | CloudErrorKind::Service => false,
    };
    let next = step.if_refused.filter(|_| about_the_instance)?;
    Some(TagChanges::refused(
        next,
        error.code.as_deref().unwrap_or_default(),
    ))
}

impl Execution<'_> {
    pub(super) fn queue_refusals(&mut self) {
        let steps = self.progress.iter().zip(self.steps).zip(0..);
        let refused = steps.filter_map(|((progress, step), member)| match progress {
            StepProgress::Settled(StepResult::Failed(error)) => {
                Some((TagEdit::of(&refusal(step, error)?), member))
            }
            _ => None,
        });
        for (writes, members) in grouped(refused) {
            for call in writes.calls() {
                self.queue_back(&call, &members);
            }
        }
    }
}
