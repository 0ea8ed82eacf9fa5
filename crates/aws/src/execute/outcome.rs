//! What became of the steps.

use curfew_core::instance::InstanceState;
use curfew_core::step::Step;

use crate::error::CloudError;

/// What became of a step.
#[derive(Debug)]
pub struct Outcome {
    /// The step, as planned.
    pub step: Step,
    /// How it went.
    pub result: StepResult,
    /// Whether what the person says stands in the instance's tags, if the step has such a word: then a later pass carries out what
    /// came to nothing.
    pub said: bool,
}

/// How a step went.
#[derive(Debug)]
pub enum StepResult {
    /// The call was accepted, or none was needed, and the memory is written.
    Done {
        /// The state right after the call, as far as EC2 said.
        after: InstanceState,
    },
    /// The call was accepted and the memory could not be written. The next pass finds the instance as it should be and only
    /// tries to write the memory again.
    TagsNotWritten {
        /// The state right after the call.
        after: InstanceState,
        /// Why not.
        error: CloudError,
    },
    /// EC2 refused, or could not be asked.
    Failed(CloudError),
    /// No call was made: by the time of its turn, the plan said otherwise. The next pass decides.
    Dropped {
        /// What it said, and why: half a sentence.
        because: String,
    },
    /// The caller's time, or the plan's, ran out first; the next pass goes on.
    OutOfTime,
}
