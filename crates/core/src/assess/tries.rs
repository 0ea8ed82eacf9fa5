//! What came of earlier tries: what EC2 refused is not tried again too soon, and forgotten when it is no longer due.

use jiff::Timestamp;

use super::judge::Judge;
use super::words::{Repetition, Word};
use crate::decision::Decision;
use crate::memory::{Cause, NextTry, ReasonCode, Retry};
use crate::skip::SkipReason;
use crate::step::{FallbackChange, Remember, RetryChange, Step, StepAction};
use crate::timetable::{Action, EARLY_TRIGGER};

impl Judge<'_> {
    /// What is remembered of earlier tries of the same.
    pub(super) fn tried_before(&self, word: &Word, action: Action) -> Option<&Retry> {
        let is_the_same = |retry: &&Retry| retry.edge == word.at && retry.action == action;
        self.recalled.refused().filter(is_the_same)
    }

    /// A step after which nothing that was refused before is due any more.
    pub(super) fn superseding(&self, mut step: Step) -> Step {
        step.remember.retry = self.forgotten();
        self.choose_types(&mut step, None);
        step
    }

    /// A call, unless the same was tried too short a while ago.
    pub(super) fn trying(
        &self,
        mut step: Step,
        word: &Word,
        action: Action,
        is_repeated: bool,
        repetition: Repetition,
    ) -> Decision {
        let earlier = self.tried_before(word, action);
        if let Some(retry) = earlier.filter(|retry| self.reading < retry.next) {
            return self.skip(SkipReason::WaitingToRetry {
                action,
                tries: retry.tries,
                code: retry.code.clone(),
                until: retry.next,
            });
        }
        let next = NextTry::at(self.reading, word.at, action, earlier);
        let came_to_nothing = match repetition {
            _ if is_repeated => self.came_to_nothing(action),
            // Where the word is done, and held to at every pass, only EC2's word tells of a try.
            Repetition::Always => self.failed_start(action),
            Repetition::Once => None,
        };
        if is_repeated {
            step.remark(self.why_again(action, came_to_nothing.as_ref()));
        }
        self.choose_types(&mut step, came_to_nothing.as_ref());
        let failure = came_to_nothing.or_else(|| Some(earlier?.code.clone()));
        step.remember.retry = match failure {
            // What is accepted may come to nothing again: it is a success when the state is seen.
            Some(code) if is_repeated || action == Action::Start => {
                RetryChange::Set(next.because(code))
            }
            _ => self.forgotten(),
        };
        step.if_refused = Some(next);
        Decision::Step(step)
    }

    /// Why a call that EC2 accepted did not lead to its state. A call of somebody else that crossed it is no such reason: EC2
    /// dates that, or says that a user did it.
    fn came_to_nothing(&self, action: Action) -> Option<ReasonCode> {
        match action {
            Action::Start => self.failed_start(action).or_else(|| {
                let unexplained = self.instance.state_reason.is_none();
                unexplained.then(ReasonCode::unexplained)
            }),
            Action::Stop => None,
        }
    }

    fn failed_start(&self, action: Action) -> Option<ReasonCode> {
        let reason = self.instance.failed_start()?;
        (action == Action::Start).then(|| ReasonCode::new(&reason.code))
    }

    fn why_again(&self, action: Action, came_to_nothing: Option<&ReasonCode>) -> String {
        match (came_to_nothing, self.instance.failed_start()) {
            (Some(_), Some(reason)) => {
                format!(
                    "an earlier {action} did not lead to {}: {}",
                    state(action),
                    reason.message
                )
            }
            (Some(_), None) => format!("an earlier {action} did not lead to {}", state(action)),
            (None, _) => format!("an earlier {action} was undone by a call that crossed it"),
        }
    }

    /// Removes the memory of what is no longer due: it would be believed when the same is due again.
    pub(super) fn without_earlier_tries(&self, decision: Decision) -> Decision {
        let Decision::Skip(skip) = decision else {
            return decision;
        };
        let cause = match &skip.reason {
            SkipReason::Overridden { by, .. } => Cause::Override(by.clone()),
            _ => self.by_schedule(),
        };
        let mut step = self.blank_step(StepAction::Record, cause);
        match &self.recalled.retry {
            Ok(Some(retry)) if !self.is_yet_to_come(retry.edge) => {
                step.remember.retry = RetryChange::Clear;
                let (action, code) = (retry.action, &retry.code);
                step.remark(format!(
                    "its {action} that EC2 refused ({code}) is no longer due"
                ));
            }
            Err(problem) => {
                step.remember.retry = RetryChange::Clear;
                step.remark(format!("{problem}; the tag is removed"));
            }
            Ok(_) => {}
        }
        if let Some(why) = self.stale_fallback() {
            step.remember.fallback = FallbackChange::Clear;
            step.remark(format!("{why}; the tag is removed"));
        }
        if step.remember == Remember::default() {
            return Decision::Skip(skip);
        }
        step.remark(skip.detail);
        Decision::Step(step)
    }

    /// An early trigger tried an edge that a pass in the minute before it does not see yet.
    fn is_yet_to_come(&self, edge: Timestamp) -> bool {
        edge > self.reading && edge.duration_since(self.reading) <= EARLY_TRIGGER
    }

    fn forgotten(&self) -> RetryChange {
        match self.recalled.retry {
            Ok(None) => RetryChange::Keep,
            Ok(Some(_)) | Err(_) => RetryChange::Clear,
        }
    }
}

fn state(action: Action) -> &'static str {
    match action {
        Action::Start => "running",
        Action::Stop => "stopped",
    }
}
