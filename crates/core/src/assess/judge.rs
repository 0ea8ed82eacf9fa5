//! One instance that may be touched, with its schedule and what its tags remember, at the instant that it is judged for.

use jiff::Timestamp;

use super::recall::Recalled;
use super::skip;
use crate::decision::Decision;
use crate::instance::{Instance, InstanceState};
use crate::memory::{Cause, instant_of_pass};
use crate::schedule::Schedule;
use crate::skip::SkipReason;
use crate::step::{Step, StepAction};
use crate::timetable::{Action, EARLY_TRIGGER};
use crate::transition::direction;
use crate::view::View;
use crate::world::World;

pub(super) struct Judge<'a> {
    pub(super) instance: &'a Instance,
    pub(super) view: &'a View<'a>,
    pub(super) recalled: &'a Recalled,
    /// When the instance was observed.
    pub(super) now: Timestamp,
    /// The instant that everything is asked about: `now`, the newest instant in the tags, or the edge up to a minute later that
    /// a trigger was early for.
    pub(super) reading: Timestamp,
}

impl<'a> Judge<'a> {
    pub(super) fn new(
        instance: &'a Instance,
        view: &'a View<'a>,
        recalled: &'a Recalled,
        world: &World<'a>,
        now: Timestamp,
    ) -> Self {
        let within_reach = |at: &Timestamp| *at > now && at.duration_since(now) <= EARLY_TRIGGER;
        let early_edge = (world.triggered_for == Some(&view.schedule().name))
            .then(|| view.next_edge(now))
            .flatten()
            .map(|edge| edge.at)
            .filter(within_reach);
        let known = instant_of_pass(&instance.tags, now);
        Self {
            instance,
            view,
            recalled,
            now,
            reading: early_edge.map_or(known, |edge| edge.max(known)),
        }
    }

    pub(super) fn blank_step(&self, action: StepAction, cause: Cause) -> Step {
        Step::new(self.instance, action, cause)
    }

    pub(super) fn skip(&self, reason: SkipReason) -> Decision {
        Decision::Skip(skip(self.instance, reason))
    }

    pub(super) fn schedule(&self) -> &'a Schedule {
        self.view.schedule()
    }

    pub(super) fn by_schedule(&self) -> Cause {
        Cause::Schedule(self.schedule().name.clone())
    }

    pub(super) fn in_flight(&self) -> bool {
        matches!(
            self.instance.state,
            InstanceState::Pending | InstanceState::Stopping
        )
    }

    /// What its present state is on the way to, or at.
    pub(super) fn present(&self) -> Action {
        direction(self.instance.state).unwrap_or(Action::Stop)
    }

    pub(super) fn is_at(&self, action: Action) -> bool {
        self.instance.state
            == match action {
                Action::Start => InstanceState::Running,
                Action::Stop => InstanceState::Stopped,
            }
    }
}
