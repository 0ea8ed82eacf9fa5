//! What a request says of one instance that may be touched, and what comes of it.

use jiff::Timestamp;

use super::directive::{action_after_override, action_for};
use super::evaluator::Evaluator;
use super::tag_state::TagState;
use crate::decision::Decision;
use crate::instance::{Instance, InstanceState};
use crate::request::{Request, RequestDuration, RequestKind, RequestTags};
use crate::state_tags::{
    Cause, Override, OverrideState, RecordedRequest, instant_of_person, whole_second,
};
use crate::step::{Step, StepAction};
use crate::timetable::Action;
use crate::transition::direction;
use crate::view::View;

/// What the person who asks says, as it goes to the instance's tags.
pub(super) fn request_tags(
    request: &Request,
    instance: &Instance,
    view: &View<'_>,
    tags: &TagState,
    now: Timestamp,
) -> RequestTags {
    let at = instant_of_person(&instance.tags, now);
    let by = || request.by.clone();
    let plain = |action| RequestTags {
        request: Some(RecordedRequest {
            at,
            action,
            by: by(),
        }),
        override_: None,
    };
    let timed = |state, until| RequestTags {
        request: None,
        override_: Some(Override {
            state,
            since: at,
            until: whole_second(until),
            by: by(),
        }),
    };
    let as_it_is = direction(instance.state).unwrap_or(Action::Stop);
    let mut directive = match request.kind {
        RequestKind::Start(RequestDuration::NextEdge) => plain(Action::Start),
        RequestKind::Stop(RequestDuration::NextEdge) => plain(Action::Stop),
        RequestKind::Start(RequestDuration::Until(until)) => timed(OverrideState::Running, until),
        RequestKind::Stop(RequestDuration::Until(until)) => timed(OverrideState::Stopped, until),
        RequestKind::Ignore { until } => timed(OverrideState::Ignored, until),
        RequestKind::Resume => {
            let wanted = match tags.active_override(at) {
                Some(override_) => action_after_override(view, override_, at),
                None => action_for(view.desired(at)),
            };
            plain(wanted.unwrap_or(as_it_is))
        }
    };
    // What can't be read would keep hands off for good: whoever asks replaces it.
    if tags.override_.is_err() && directive.override_.is_none() {
        directive.override_ = timed(OverrideState::Ignored, at).override_;
    }
    if tags.request.is_err() && directive.request.is_none() {
        directive.request = plain(as_it_is).request;
    }
    directive
}

impl Evaluator<'_> {
    /// What is done once `word` stands in the tags, which is what `decision` was made on.
    pub(super) fn with_request_tags(&self, directive: RequestTags, decision: Decision) -> Decision {
        let mut step = match decision {
            Decision::Step(step) => step,
            Decision::Skip(_) => self.record_request_only(&directive),
        };
        step.request_tags = Some(Box::new(directive));
        Decision::Step(step)
    }

    /// Where nothing can be done or remembered yet: the word alone makes a later pass do it.
    fn record_request_only(&self, directive: &RequestTags) -> Step {
        let newest = self.newest().map(|newest| newest.directive);
        let by = directive
            .override_
            .as_ref()
            .map(|override_| Cause::Override(override_.by.clone()));
        let cause = newest
            .as_ref()
            .map(|directive| directive.cause.clone())
            .or(by);
        let mut step = self.blank_step(StepAction::Record, cause.unwrap_or(Cause::External));
        self.remark_on_waiting(&mut step);
        step
    }

    /// EC2 can't be asked for another state while it moves the instance.
    pub(super) fn remark_on_waiting(&self, step: &mut Step) {
        let state = self.instance.state;
        let wanted = self.newest().and_then(|newest| newest.directive.action);
        let later = match (wanted, state) {
            (Some(Action::Start), InstanceState::Stopping) => "running",
            (Some(Action::Stop), InstanceState::Pending) => "stopped",
            _ => return,
        };
        step.remark(format!("it is {state} now; a later pass makes it {later}"));
    }
}
