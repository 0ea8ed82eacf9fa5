//! What came of earlier tries: what EC2 refused is not tried again too soon, and forgotten when it is no longer due.

use jiff::Timestamp;

use super::judge::{Judge, remark};
use crate::memory::{Cause, NextTry, ReasonCode, Retry};
use crate::plan::{
    Decision, EARLY_WAKE_UP, FallbackChange, IfRefused, Remember, RetryChange, Skip, SkipReason,
    Step, StepAction,
};
use crate::timetable::Action;

impl Judge<'_> {
    pub(super) fn in_view_of_earlier_tries(&self, decision: Decision) -> Decision {
        match (decision, self.request) {
            (Decision::Step(step), None) => match self.tried_by(&step) {
                Some((edge, action)) => self.trying(step, edge, action),
                None => Decision::Step(self.superseding(step)),
            },
            // Whoever asks does not wait.
            (Decision::Step(step), Some(_)) => Decision::Step(self.superseding(step)),
            (Decision::Skip(skip), None) => self.tidying(skip),
            (Decision::Skip(skip), Some(_)) => Decision::Skip(skip),
        }
    }

    /// The instant of an edge that no schedule dates: of its first try if EC2 refused that, else now.
    pub(super) fn undated(&self, action: Action) -> Timestamp {
        let refused = self.recalled.refused();
        refused
            .filter(|retry| retry.action == action && retry.edge <= self.reading)
            .map_or_else(|| self.instant(), |retry| retry.edge)
    }

    /// What a step that makes a call brings about, and for which edge. A hold in force has none: its end stands in, which tells
    /// one hold from another.
    fn tried_by(&self, step: &Step) -> Option<(Timestamp, Action)> {
        let hold = self.recalled.hold.as_ref().ok().and_then(Option::as_ref);
        let edge = step.edge.map(|edge| edge.at);
        let edge = edge.or_else(|| hold.map(|hold| hold.until))?;
        Some((edge, step.action.action()?))
    }

    /// A step after which nothing that was refused before is due any more.
    fn superseding(&self, mut step: Step) -> Step {
        step.remember.retry = self.forgotten();
        self.choose_types(&mut step, None);
        step
    }

    fn trying(&self, mut step: Step, edge: Timestamp, action: Action) -> Decision {
        let is_the_same = |retry: &&Retry| retry.edge == edge && retry.action == action;
        let earlier = self.recalled.refused().filter(is_the_same);
        if let Some(retry) = earlier.filter(|retry| self.reading < retry.next) {
            return self.skip(SkipReason::WaitingToRetry {
                action,
                tries: retry.tries,
                code: retry.code.clone(),
                until: retry.next,
            });
        }
        let next = NextTry::at(
            self.reading,
            edge,
            action,
            earlier.map_or(0, |retry| retry.tries),
        );
        let fell_back = match action {
            Action::Start => self.fell_back(edge, &step.cause),
            Action::Stop => None,
        };
        self.choose_types(&mut step, fell_back.as_ref());
        let failure = fell_back.or_else(|| Some(earlier?.code.clone()));
        step.remember.retry = match failure {
            // A start that is accepted may fall back again: it is a success when the instance is seen running.
            Some(code) if action == Action::Start => RetryChange::Set(next.because(code)),
            _ => self.forgotten(),
        };
        step.if_refused = Some(Box::new(IfRefused {
            remember: Remember::default(),
            next,
        }));
        Decision::Step(step)
    }

    /// Why a start that EC2 accepted for this edge did not lead to running, if there was one.
    fn fell_back(&self, edge: Timestamp, cause: &Cause) -> Option<ReasonCode> {
        let last = self.recalled.applied();
        let was_accepted = last.is_some_and(|last| last.pending && last.at == edge)
            && !self.was_stopped_since(edge);
        // A start for a hold is not remembered, so that EC2's word has to do.
        let by_hold = matches!(cause, Cause::Hold(_));
        match self.instance.failed_start() {
            Some(reason) if was_accepted || by_hold => Some(ReasonCode::new(&reason.code)),
            None if was_accepted => Some(ReasonCode::unexplained()),
            _ => None,
        }
    }

    /// Removes the memory of what is no longer due: it would be believed when the same is due again.
    fn tidying(&self, skip: Skip) -> Decision {
        let cause = match &skip.reason {
            SkipReason::Held { by, .. } => Cause::Hold(by.clone()),
            SkipReason::AsDesired
            | SkipReason::LeftAlone
            | SkipReason::TooLate { .. }
            | SkipReason::NothingDue => self.by_schedule(),
            // Hands off, or nothing is known yet of what becomes of it.
            _ => return Decision::Skip(skip),
        };
        let mut step = self.blank_step(StepAction::Record, cause);
        match &self.recalled.retry {
            Ok(Some(retry)) if !self.is_yet_to_come(retry.edge) => {
                step.remember.retry = RetryChange::Clear;
                let (action, tries, code) = (retry.action, retry.tries, &retry.code);
                remark(
                    &mut step,
                    match skip.reason {
                        SkipReason::TooLate { .. } => {
                            format!("its {action} is given up, after {tries}x {code}")
                        }
                        _ => format!("its {action} that EC2 refused ({code}) is no longer due"),
                    },
                );
            }
            Err(problem) => {
                step.remember.retry = RetryChange::Clear;
                remark(&mut step, format!("{problem}; the tag is removed"));
            }
            Ok(_) => {}
        }
        if let Some(why) = self.stale_fallback() {
            step.remember.fallback = FallbackChange::Clear;
            remark(&mut step, format!("{why}; the tag is removed"));
        }
        if step.remember == Remember::default() {
            return Decision::Skip(skip);
        }
        remark(&mut step, skip.detail);
        Decision::Step(step)
    }

    /// An early wake-up tried an edge that a pass in the minute before it does not see yet.
    fn is_yet_to_come(&self, edge: Timestamp) -> bool {
        edge > self.reading && edge.duration_since(self.reading) <= EARLY_WAKE_UP
    }

    fn forgotten(&self) -> RetryChange {
        match self.recalled.retry {
            Ok(None) => RetryChange::Keep,
            Ok(Some(_)) | Err(_) => RetryChange::Clear,
        }
    }
}
