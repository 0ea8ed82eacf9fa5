//! The outcomes of a plan's steps.

use curfew_core::instance::InstanceState;
use curfew_core::step::Step;

use crate::error::CloudError;

/// The outcome of a step.
#[derive(Debug)]
pub struct Outcome {
    /// The step as planned, or with the call that replaced a refused hibernation.
    pub step: Step,
    /// The result of its execution.
    pub result: StepResult,
    /// Whether the request's tag was written, if the step has one: then a later pass executes a step that failed.
    pub request_written: bool,
}

/// The result of executing a step.
#[derive(Debug)]
pub enum StepResult {
    /// The call was accepted, or none was needed, and the tags are written.
    Done {
        /// The state after the call, from EC2's response.
        after: InstanceState,
    },
    /// The call was accepted, but the tags could not be written. The next pass finds the instance in its desired state and
    /// writes the tags again.
    TagsNotWritten {
        /// The state after the call, from EC2's response.
        after: InstanceState,
        /// The error of writing the tags.
        error: CloudError,
    },
    /// EC2 refused the call, or could not be reached.
    Failed(CloudError),
    /// No call was made: when it could be sent, the plan had changed. The next pass decides.
    Dropped {
        /// The changed decision and its reason, as a clause.
        because: String,
    },
    /// The deadline, or the plan's next edge, came first; the next pass continues.
    OutOfTime,
}
