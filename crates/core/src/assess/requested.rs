//! The tags that a request writes to one instance, and the step that carries them.

use jiff::Timestamp;

use super::directive::{action_after_override, action_for};
use super::evaluator::Evaluator;
use super::tag_state::TagState;
use crate::decision::Decision;
use crate::instance::{Instance, InstanceState};
use crate::request::{Request, RequestDuration, RequestKind, RequestTags};
use crate::schedule_cache::CachedSchedule;
use crate::state_tags::{
    Cause, Override, OverrideState, RecordedRequest, request_instant, whole_second,
};
use crate::step::{Step, StepAction};
use crate::timetable::Action;
use crate::transition::direction;

/// The values of `curfew:request` and `curfew:override` that record the request on the instance.
pub(super) fn request_tags(
    request: &Request,
    instance: &Instance,
    cached_schedule: &CachedSchedule<'_>,
    tags: &TagState,
    now: Timestamp,
) -> RequestTags {
    let at = request_instant(&instance.tags, now);
    let by = || request.by.clone();
    let plain = |action| RequestTags {
        request: Some(RecordedRequest {
            at,
            action,
            actor: by(),
        }),
        override_: None,
    };
    let timed = |state, until| RequestTags {
        request: None,
        override_: Some(Override {
            state,
            since: at,
            until: whole_second(until),
            actor: by(),
        }),
    };
    let current = direction(instance.state).unwrap_or(Action::Stop);
    let mut written = match request.kind {
        RequestKind::Start(RequestDuration::NextEdge) => plain(Action::Start),
        RequestKind::Stop(RequestDuration::NextEdge) => plain(Action::Stop),
        RequestKind::Start(RequestDuration::Until(until)) => timed(OverrideState::Running, until),
        RequestKind::Stop(RequestDuration::Until(until)) => timed(OverrideState::Stopped, until),
        RequestKind::Ignore { until } => timed(OverrideState::Ignored, until),
        RequestKind::Resume => {
            let wanted = match tags.active_override(at) {
                Some(override_) => action_after_override(cached_schedule, override_, at),
                None => action_for(cached_schedule.desired(at)),
            };
            plain(wanted.unwrap_or(current))
        }
    };
    // A malformed tag blocks every decision about the instance, so that a new request replaces it.
    if tags.override_.is_err() && written.override_.is_none() {
        written.override_ = timed(OverrideState::Ignored, at).override_;
    }
    if tags.request.is_err() && written.request.is_none() {
        written.request = plain(current).request;
    }
    written
}

impl Evaluator<'_> {
    /// Adds the tags of the request to `decision`, which was made as if they were written already. A skip becomes a step that only
    /// records.
    pub(super) fn with_request_tags(
        &self,
        request_tags: RequestTags,
        decision: Decision,
    ) -> Decision {
        let mut step = match decision {
            Decision::Step(step) => step,
            Decision::Skip(_) => self.record_request_only(&request_tags),
        };
        step.request_tags = Some(Box::new(request_tags));
        Decision::Step(step)
    }

    /// A step that writes only the request's tags, for an instance that can't be acted on yet: a later pass applies them.
    fn record_request_only(&self, request_tags: &RequestTags) -> Step {
        let newest = self.newest().map(|newest| newest.directive);
        let by = request_tags
            .override_
            .as_ref()
            .map(|override_| Cause::Override(override_.actor.clone()));
        let cause = newest
            .as_ref()
            .map(|directive| directive.cause.clone())
            .or(by);
        let mut step = self.blank_step(StepAction::Record, cause.unwrap_or(Cause::External));
        self.remark_on_waiting(&mut step);
        step
    }

    /// Notes that a later pass applies the request, since EC2 refuses calls for an instance in transition.
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
