//! Logs the outcomes of steps, for the Lambda and the daemon alike. `docs/reference/events.md` lists the messages and fields.

use tracing::{info, warn};

use super::{Outcome, StepResult};
use crate::error::{CloudError, presentable};

pub(super) fn log(outcome: &Outcome) {
    let Outcome { step, result, .. } = outcome;
    let (instance, action, cause) = (&step.instance, step.action, &step.cause);
    let (name, note) = (step.name.as_deref(), step.note.as_deref());
    match result {
        StepResult::Done { after } => {
            info!(%instance, name, %action, %cause, before = %step.state, %after, note, "step done");
        }
        StepResult::TagsNotWritten { error, .. } => {
            let (error, hint) = presented(error);
            warn!(%instance, name, %action, %cause, note, %error, hint, "step done but its tags were not written");
        }
        StepResult::Failed(error) => {
            let (error, hint) = presented(error);
            warn!(%instance, name, %action, %cause, note, %error, hint, "step failed");
        }
        StepResult::Dropped { because } => {
            info!(%instance, name, %action, %cause, note, because, "step dropped: the plan changed");
        }
        StepResult::OutOfTime => {
            warn!(%instance, name, %action, %cause, note, "step left for the next pass: out of time");
        }
    }
}

/// Without account ids, since logs are shipped to many places.
fn presented(error: &CloudError) -> (String, &'static str) {
    (presentable(&error.to_string()), error.hint())
}
