//! What a request says of one instance that may be touched, and what comes of it.

use jiff::Timestamp;

use super::judge::Judge;
use super::recall::Recalled;
use super::words::{wanted, wanted_after};
use crate::decision::Decision;
use crate::instance::{Instance, InstanceState};
use crate::memory::{Cause, Override, OverrideState, Requested, instant_of_person, whole_second};
use crate::request::{Ask, Lasting, Request, Spoken};
use crate::step::{Step, StepAction};
use crate::timetable::Action;
use crate::transition::direction;
use crate::view::View;

/// What the person who asks says, as it goes to the instance's tags.
pub(super) fn spoken(
    request: &Request,
    instance: &Instance,
    view: &View<'_>,
    recalled: &Recalled,
    now: Timestamp,
) -> Spoken {
    let at = instant_of_person(&instance.tags, now);
    let by = || request.by.clone();
    let plain = |action| Spoken {
        request: Some(Requested {
            at,
            action,
            by: by(),
        }),
        override_: None,
    };
    let timed = |state, until| Spoken {
        request: None,
        override_: Some(Override {
            state,
            since: at,
            until: whole_second(until),
            by: by(),
        }),
    };
    let as_it_is = direction(instance.state).unwrap_or(Action::Stop);
    let mut word = match request.ask {
        Ask::Start(Lasting::NextEdge) => plain(Action::Start),
        Ask::Stop(Lasting::NextEdge) => plain(Action::Stop),
        Ask::Start(Lasting::Until(until)) => timed(OverrideState::Running, until),
        Ask::Stop(Lasting::Until(until)) => timed(OverrideState::Stopped, until),
        Ask::Ignore { until } => timed(OverrideState::Ignored, until),
        Ask::Resume => {
            let wanted = match recalled.active_override(at) {
                Some(override_) => wanted_after(view, override_, at),
                None => wanted(view.desired(at)),
            };
            plain(wanted.unwrap_or(as_it_is))
        }
    };
    // What can't be read would keep hands off for good: whoever asks replaces it.
    if recalled.override_.is_err() && word.override_.is_none() {
        word.override_ = timed(OverrideState::Ignored, at).override_;
    }
    if recalled.request.is_err() && word.request.is_none() {
        word.request = plain(as_it_is).request;
    }
    word
}

impl Judge<'_> {
    /// What is done once `word` stands in the tags, which is what `decision` was made on.
    pub(super) fn requested(&self, word: Spoken, decision: Decision) -> Decision {
        let mut step = match decision {
            Decision::Step(step) => step,
            Decision::Skip(_) => self.only_said(&word),
        };
        step.word = Some(Box::new(word));
        Decision::Step(step)
    }

    /// Where nothing can be done or remembered yet: the word alone makes a later pass do it.
    fn only_said(&self, word: &Spoken) -> Step {
        let newest = self.newest().map(|newest| newest.word);
        let by = word
            .override_
            .as_ref()
            .map(|override_| Cause::Override(override_.by.clone()));
        let cause = newest.as_ref().map(|word| word.cause.clone()).or(by);
        let mut step = self.blank_step(StepAction::Record, cause.unwrap_or(Cause::External));
        self.remark_on_waiting(&mut step);
        step
    }

    /// EC2 can't be asked for another state while it moves the instance.
    pub(super) fn remark_on_waiting(&self, step: &mut Step) {
        let state = self.instance.state;
        let wanted = self.newest().and_then(|newest| newest.word.action);
        let later = match (wanted, state) {
            (Some(Action::Start), InstanceState::Stopping) => "running",
            (Some(Action::Stop), InstanceState::Pending) => "stopped",
            _ => return,
        };
        step.remark(format!("it is {state} now; a later pass makes it {later}"));
    }
}
