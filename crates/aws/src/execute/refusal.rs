//! What EC2 refuses for an instance's own sake is remembered on it: when it is tried again is in the step.

use curfew_core::step::{Step, TagChanges};

use super::tag_writes::{TagEdit, alike};
use super::{Execution, StepProgress, StepResult};
use crate::error::{CloudError, CloudErrorKind};

/// What is remembered on the instance of a step that EC2 refused. Nothing where the refusal is not about the instance: what
/// was denied, not answered or not even asked is for the next pass.
pub fn refusal(step: &Step, error: &CloudError) -> Option<TagChanges> {
    let is_of_a_change = ["ec2:StartInstances", "ec2:StopInstances"].contains(&error.operation);
    let about_the_instance = match error.kind {
        CloudErrorKind::Capacity => true,
        // Another type was only tried for lack of capacity of the instance's own. With known credentials, a denial belongs to
        // the instance, such as its image; a missing permission is left to the next pass, after it was granted.
        CloudErrorKind::Denied => {
            error.operation == "ec2:ModifyInstanceAttribute"
                || (is_of_a_change && !error.is_inferred() && error.is_about("AuthFailure"))
        }
        // The instance itself is gone; what it needs may be gone as well, and then a person has to act.
        CloudErrorKind::NotFound => {
            is_of_a_change && !error.is_inferred() && !error.is_about("InvalidInstanceID.")
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
        let whole = self.progress.iter().zip(self.steps).zip(0..);
        let refused = whole.filter_map(|((progress, step), member)| match progress {
            StepProgress::Settled(StepResult::Failed(error)) => {
                Some((TagEdit::of(&refusal(step, error)?), member))
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
