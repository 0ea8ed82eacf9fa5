//! What came of earlier tries: what EC2 refused is not tried again too soon, and forgotten when it is no longer due.

use jiff::Timestamp;

use super::directive::{ApplyFrequency, Directive};
use super::evaluator::Evaluator;
use crate::decision::Decision;
use crate::skip::SkipReason;
use crate::state_tags::{Cause, NextRetry, ReasonCode, Retry};
use crate::step::{FallbackChange, RetryChange, Step, StepAction, TagChanges};
use crate::timetable::{Action, EARLY_TRIGGER};

impl Evaluator<'_> {
    /// What is remembered of earlier tries of the same.
    pub(super) fn earlier_attempts(&self, directive: &Directive, action: Action) -> Option<&Retry> {
        let is_the_same = |retry: &&Retry| retry.edge == directive.at && retry.action == action;
        self.tags.valid_retry().filter(is_the_same)
    }

    /// A step after which nothing that was refused before is due any more.
    pub(super) fn clear_retry(&self, mut step: Step) -> Step {
        step.tag_changes.retry = self.retry_removal();
        self.choose_types(&mut step, None);
        step
    }

    /// A call, unless the same was tried too short a while ago.
    pub(super) fn call_or_wait(
        &self,
        mut step: Step,
        directive: &Directive,
        action: Action,
        is_repeat: bool,
        frequency: ApplyFrequency,
    ) -> Decision {
        let earlier = self.earlier_attempts(directive, action);
        if let Some(retry) = earlier.filter(|retry| self.effective_now < retry.next) {
            return self.skip(SkipReason::WaitingToRetry {
                action,
                tries: retry.tries,
                code: retry.code.clone(),
                until: retry.next,
            });
        }
        let next = NextRetry::at(self.effective_now, directive.at, action, earlier);
        let failed_attempt = match frequency {
            _ if is_repeat => self.failed_attempt(action),
            // Where the word is done, and held to at every pass, only EC2's word tells of a try.
            ApplyFrequency::EveryPass => self.failed_start(action),
            ApplyFrequency::Once => None,
        };
        if is_repeat {
            step.remark(self.repeat_reason(action, failed_attempt.as_ref()));
        }
        self.choose_types(&mut step, failed_attempt.as_ref());
        let failure = failed_attempt.or_else(|| Some(earlier?.code.clone()));
        step.tag_changes.retry = match failure {
            // What is accepted may come to nothing again: it is a success when the state is seen.
            Some(code) if is_repeat || action == Action::Start => {
                RetryChange::Set(next.because(code))
            }
            _ => self.retry_removal(),
        };
        step.if_refused = Some(next);
        Decision::Step(step)
    }

    /// Why a call that EC2 accepted did not lead to its state. A call of somebody else that crossed it is no such reason: EC2
    /// dates that, or says that a user did it.
    fn failed_attempt(&self, action: Action) -> Option<ReasonCode> {
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

    fn repeat_reason(&self, action: Action, failed_attempt: Option<&ReasonCode>) -> String {
        match (failed_attempt, self.instance.failed_start()) {
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
    pub(super) fn clear_stale_tags(&self, decision: Decision) -> Decision {
        let Decision::Skip(skip) = decision else {
            return decision;
        };
        let cause = match &skip.reason {
            SkipReason::OverrideState { by, .. } => Cause::Override(by.clone()),
            _ => self.schedule_cause(),
        };
        let mut step = self.blank_step(StepAction::Record, cause);
        match &self.tags.retry {
            Ok(Some(retry)) if !self.is_upcoming(retry.edge) => {
                step.tag_changes.retry = RetryChange::Clear;
                let (action, code) = (retry.action, &retry.code);
                step.remark(format!(
                    "its {action} that EC2 refused ({code}) is no longer due"
                ));
            }
            Err(problem) => {
                step.tag_changes.retry = RetryChange::Clear;
                step.remark(format!("{problem}; the tag is removed"));
            }
            Ok(_) => {}
        }
        if let Some(why) = self.stale_fallback() {
            step.tag_changes.fallback = FallbackChange::Clear;
            step.remark(format!("{why}; the tag is removed"));
        }
        if step.tag_changes == TagChanges::default() {
            return Decision::Skip(skip);
        }
        step.remark(skip.detail);
        Decision::Step(step)
    }

    /// An early trigger tried an edge that a pass in the minute before it does not see yet.
    fn is_upcoming(&self, edge: Timestamp) -> bool {
        edge > self.effective_now && edge.duration_since(self.effective_now) <= EARLY_TRIGGER
    }

    fn retry_removal(&self) -> RetryChange {
        match self.tags.retry {
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
