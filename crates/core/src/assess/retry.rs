//! Retries: delays the next attempt of a failed action, and clears `curfew:retry` once the action is no longer due.

use jiff::Timestamp;

use super::directive::{ApplyFrequency, Directive};
use super::evaluator::Evaluator;
use crate::decision::Decision;
use crate::skip::SkipReason;
use crate::state_tags::{Cause, NextRetry, ReasonCode, Retry};
use crate::step::{FallbackChange, RetryChange, Step, StepAction, TagChanges};
use crate::timetable::{Action, EARLY_TRIGGER};

impl Evaluator<'_> {
    /// The recorded attempts of the same directive and action.
    pub(super) fn earlier_attempts(&self, directive: &Directive, action: Action) -> Option<&Retry> {
        let is_the_same = |retry: &&Retry| retry.edge == directive.at && retry.action == action;
        self.tags.valid_retry().filter(is_the_same)
    }

    /// Completes a step after which no earlier failed action is due: clears `curfew:retry`.
    pub(super) fn clear_retry(&self, mut step: Step) -> Step {
        step.tag_changes.retry = self.retry_removal();
        self.choose_types(&mut step, None);
        step
    }

    /// Completes a step that makes a call, or skips it until the next attempt is due.
    pub(super) fn call_or_wait(
        &self,
        mut step: Step,
        directive: &Directive,
        action: Action,
        is_repeat: bool,
        frequency: ApplyFrequency,
    ) -> Decision {
        let earlier = self.earlier_attempts(directive, action);
        if let Some(retry) = earlier.filter(|retry| self.effective_now < retry.next_attempt_at) {
            return self.skip(SkipReason::WaitingToRetry {
                action,
                attempts: retry.attempts,
                code: retry.code.clone(),
                next_attempt_at: retry.next_attempt_at,
            });
        }
        let next = NextRetry::at(self.effective_now, directive.at, action, earlier);
        let failed_attempt = match frequency {
            _ if is_repeat => self.failed_attempt(action),
            // A directive that is recorded as done and applied at every pass: only EC2's state reason shows a failed start.
            ApplyFrequency::EveryPass => self.failed_start(action),
            ApplyFrequency::Once => None,
        };
        if is_repeat {
            step.remark(self.repeat_reason(action, failed_attempt.as_ref()));
        }
        self.choose_types(&mut step, failed_attempt.as_ref());
        let failure = failed_attempt.or_else(|| Some(earlier?.code.clone()));
        step.tag_changes.retry = match failure {
            // An accepted call may fail again: the retry is cleared once the state is observed.
            Some(code) if is_repeat || action == Action::Start => {
                RetryChange::Set(next.with_code(code))
            }
            _ => self.retry_removal(),
        };
        step.if_refused = Some(next);
        Decision::Step(step)
    }

    /// Returns why an accepted call did not lead to its state. A concurrent call by a user does not count: EC2 dates it or reports
    /// the user as the reason.
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

    /// Turns a skip into a step that removes obsolete `curfew:retry` and `curfew:type` tags: they would apply again when the same
    /// action becomes due.
    pub(super) fn clear_stale_tags(&self, decision: Decision) -> Decision {
        let Decision::Skip(skip) = decision else {
            return decision;
        };
        let cause = match &skip.reason {
            SkipReason::Overridden { actor, .. } => Cause::Override(actor.clone()),
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

    /// Whether `edge` is at most a minute ahead: a pass with an early trigger may have tried it already.
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
