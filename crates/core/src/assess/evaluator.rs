//! The input of one evaluation: an instance that may be started and stopped, its schedule, its state tags and the instant.

use jiff::Timestamp;

use super::skip;
use super::tag_state::TagState;
use crate::decision::Decision;
use crate::instance::{Instance, InstanceState};
use crate::schedule::Schedule;
use crate::schedule_cache::CachedSchedule;
use crate::skip::SkipReason;
use crate::state_tags::{Cause, pass_instant};
use crate::step::{Step, StepAction};
use crate::timetable::Action;
use crate::transition::direction;

pub(super) struct Evaluator<'a> {
    pub(super) instance: &'a Instance,
    pub(super) cached_schedule: &'a CachedSchedule<'a>,
    pub(super) tags: &'a TagState,
    /// When the instance was observed.
    pub(super) now: Timestamp,
    /// The instant at which the decision is made: the later of `now` and the newest instant in the tags.
    pub(super) effective_now: Timestamp,
}

impl<'a> Evaluator<'a> {
    pub(super) fn new(
        instance: &'a Instance,
        cached_schedule: &'a CachedSchedule<'a>,
        tags: &'a TagState,
        now: Timestamp,
    ) -> Self {
        Self {
            instance,
            cached_schedule,
            tags,
            now,
            effective_now: pass_instant(&instance.tags, now),
        }
    }

    pub(super) fn blank_step(&self, action: StepAction, cause: Cause) -> Step {
        Step::new(self.instance, action, cause)
    }

    pub(super) fn skip(&self, reason: SkipReason) -> Decision {
        Decision::Skip(skip(self.instance, reason))
    }

    pub(super) fn schedule(&self) -> &'a Schedule {
        self.cached_schedule.schedule()
    }

    pub(super) fn schedule_cause(&self) -> Cause {
        Cause::Schedule(self.schedule().name.clone())
    }

    pub(super) fn is_transitioning(&self) -> bool {
        matches!(
            self.instance.state,
            InstanceState::Pending | InstanceState::Stopping
        )
    }

    /// The action whose target state the instance has or is moving to.
    pub(super) fn current_direction(&self) -> Action {
        direction(self.instance.state).unwrap_or(Action::Stop)
    }

    pub(super) fn has_reached(&self, action: Action) -> bool {
        self.instance.state
            == match action {
                Action::Start => InstanceState::Running,
                Action::Stop => InstanceState::Stopped,
            }
    }
}
