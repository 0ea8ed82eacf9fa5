//! What a request asks of one instance that may be touched.

use jiff::Timestamp;

use super::judge::{Judge, remark};
use super::recall::end_of_hold;
use crate::instance::InstanceState;
use crate::memory::{Cause, Held, Hold, Last, NextTry, whole_second};
use crate::plan::{Decision, HoldChange, IfRefused, Remember, SkipReason, Step, StepAction};
use crate::request::{Ask, Lasting, Request};
use crate::schedule::Firmness;
use crate::timetable::Action;

impl Judge<'_> {
    pub(super) fn requested(&self, request: &Request) -> Decision {
        match request.ask {
            Ask::Ignore { until } => {
                let cause = Cause::Hold(request.by.clone());
                let mut step = self.blank_step(StepAction::Record, cause);
                step.remember.hold = HoldChange::Set(Hold {
                    state: Held::Ignored,
                    until: whole_second(until),
                    by: request.by.clone(),
                });
                Decision::Step(step)
            }
            Ask::Start(lasting) => self.requested_change(Action::Start, lasting, request),
            Ask::Stop(lasting) => self.requested_change(Action::Stop, lasting, request),
            Ask::Resume => self.resumed(request),
        }
    }

    fn requested_change(&self, action: Action, lasting: Lasting, request: &Request) -> Decision {
        if let Some(until) = self.hold_until(lasting) {
            let hold = Hold {
                state: match action {
                    Action::Start => Held::Running,
                    Action::Stop => Held::Stopped,
                },
                until,
                by: request.by.clone(),
            };
            let remember = Remember {
                hold: HoldChange::Set(hold),
                ..Remember::default()
            };
            let step = self.change_soon(action, Cause::Hold(request.by.clone()), remember);
            // The hold itself makes a later pass try again.
            return Decision::Step(self.due_if_refused(step, until, Remember::default()));
        }
        if action == Action::Stop && self.instance.state == InstanceState::Pending {
            // Nothing on the instance could say that it still has to be stopped.
            return self.skip(SkipReason::InFlight);
        }
        let cause = Cause::Request(request.by.clone());
        let last = Last {
            at: self.instant(),
            action,
            cause: cause.clone(),
            pending: action == Action::Start && !self.is_at(Action::Start),
        };
        let at = last.at;
        let remember = Remember {
            last: Some(last),
            hold: self.recalled.without_hold(),
            ..Remember::default()
        };
        let step = self.change_soon(action, cause, remember.clone());
        Decision::Step(match action {
            Action::Start => self.due_if_refused(step, at, remember),
            // A stop is not pending, ever: whoever asked is told, and may ask again.
            Action::Stop => step,
        })
    }

    /// When the hold that a request takes ends, if it takes one.
    fn hold_until(&self, lasting: Lasting) -> Option<Timestamp> {
        match lasting {
            Lasting::Until(until) => Some(whole_second(until)),
            // On an enforced schedule a plain request would be undone by the next pass.
            Lasting::NextEdge if self.schedule().firmness == Firmness::Enforced => self
                .view
                .next_edge(self.reading)
                .map(|edge| edge.at)
                .or_else(|| self.enforced().map(|_| whole_second(Timestamp::MAX))),
            Lasting::NextEdge => None,
        }
    }

    /// Like [`Self::step`], and where EC2 can't be asked yet, the memory alone makes a later pass do it.
    fn change_soon(&self, action: Action, cause: Cause, remember: Remember) -> Step {
        if !self.in_flight() {
            return self.step(action, cause, remember);
        }
        let mut step = self.blank_step(StepAction::Record, cause);
        step.remember = remember;
        let state = self.instance.state;
        match (action, state) {
            (Action::Start, InstanceState::Stopping) => {
                remark(
                    &mut step,
                    format!("it is {state} now; a later pass makes it running"),
                );
            }
            (Action::Stop, InstanceState::Pending) => {
                remark(
                    &mut step,
                    format!("it is {state} now; a later pass makes it stopped"),
                );
            }
            _ => {}
        }
        step
    }

    /// What EC2 refuses now is due from then on, as the edge that the request made at `edge`.
    fn due_if_refused(&self, mut step: Step, edge: Timestamp, remember: Remember) -> Step {
        step.if_refused = step.action.action().map(|action| {
            let next = NextTry::at(self.reading, edge, action, 0);
            Box::new(IfRefused { remember, next })
        });
        step
    }

    fn resumed(&self, request: &Request) -> Decision {
        let state = match &self.recalled.hold {
            Ok(None) => return self.skip(SkipReason::NoHold),
            Ok(Some(hold)) => hold.state,
            Err(_) => Held::Ignored,
        };
        let ended_now = Hold {
            state,
            until: self.instant(),
            by: request.by.clone(),
        };
        let dealt_with = self.recalled.dealt_with(self.instance);
        let cause = Cause::Request(request.by.clone());
        let mut step = match end_of_hold(&ended_now, self.view, dealt_with) {
            Some(_) if self.in_flight() => {
                let mut step = self.blank_step(StepAction::Record, cause);
                remark(
                    &mut step,
                    format!(
                        "it is {} now; a later pass does what its schedule wants",
                        self.instance.state
                    ),
                );
                // The end of a hold stays due as long as its tag is there.
                step.remember.hold = HoldChange::Set(ended_now);
                return Decision::Step(step);
            }
            Some(edge) => {
                let still_due = Remember {
                    hold: HoldChange::Set(ended_now),
                    ..Remember::default()
                };
                self.due_if_refused(self.apply(edge, cause), edge.at, still_due)
            }
            None => {
                let mut step = self.blank_step(StepAction::Record, cause);
                // What a hold stopped stays stopped, also if the start before it was never seen running.
                step.remember.last = self
                    .recalled
                    .applied()
                    .filter(|last| last.pending && state == Held::Stopped)
                    .map(|last| Last {
                        pending: false,
                        ..last.clone()
                    });
                step
            }
        };
        step.remember.hold = HoldChange::Clear;
        Decision::Step(step)
    }
}
