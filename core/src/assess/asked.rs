//! What a request asks of one instance that may be touched.

use jiff::Timestamp;

use super::judge::{Judge, remark};
use super::recall::end_of_hold;
use crate::instance::InstanceState;
use crate::memory::{Cause, Held, Hold, Last, whole_second};
use crate::plan::{Decision, HoldChange, Remember, SkipReason, StepAction};
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
                last: None,
                hold: HoldChange::Set(hold),
            };
            return self.change_soon(action, Cause::Hold(request.by.clone()), remember);
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
        let remember = Remember {
            last: Some(last),
            hold: self.recalled.without_hold(),
        };
        self.change_soon(action, cause, remember)
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
    fn change_soon(&self, action: Action, cause: Cause, remember: Remember) -> Decision {
        if !self.in_flight() {
            return Decision::Step(self.step(action, cause, remember));
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
        Decision::Step(step)
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
            Some(edge) => self.apply(edge, cause),
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
