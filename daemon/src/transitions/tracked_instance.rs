//! The tracked state of one instance, and how events and polls relate to it.

use curfew_core::instance::{Instance, InstanceState};
use curfew_core::state_tags::{LAST_TAG, LastApplied};
use curfew_core::timetable::{Action, EARLY_TRIGGER};
use curfew_core::transition::{KnownState, Transition, direction};
use jiff::{Timestamp, Unit};

use super::QueuedStateChange;

#[derive(Debug)]
pub(crate) struct TrackedInstance {
    /// The last state that was reported or observed, recorded or not.
    pub(crate) known_state: KnownState,
    /// The time of the newest poll that found this state.
    pub(crate) confirmed_at: Option<Timestamp>,
    /// Since when polls have found another state.
    pub(crate) differs_since: Option<Timestamp>,
    /// Transitions that are not recorded yet, because the cause of the first of them is unknown.
    pub(crate) unattributed: Vec<UnattributedTransition>,
    /// Events that don't follow on the known state.
    pub(crate) buffered: Vec<BufferedEvent>,
}

#[derive(Debug)]
pub(crate) struct UnattributedTransition {
    pub(crate) before: KnownState,
    pub(crate) transition: Transition,
    pub(crate) event: Option<String>,
    pub(crate) found: Timestamp,
}

#[derive(Debug)]
pub(crate) struct BufferedEvent {
    pub(crate) event: QueuedStateChange,
    pub(crate) received: Timestamp,
}

/// The source of a change.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ChangeSource<'a> {
    /// A poll that began at this time.
    Observation(&'a Instance, Timestamp),
    /// An event of this time, and the instance as EC2 described it since.
    Event(Option<&'a Instance>, Timestamp),
    /// Inferred from the events or polls around it.
    Between(Timestamp),
}

impl TrackedInstance {
    pub(crate) fn new(known_state: KnownState) -> Self {
        Self {
            known_state,
            confirmed_at: None,
            differs_since: None,
            unattributed: Vec::new(),
            buffered: Vec::new(),
        }
    }

    pub(crate) fn is_busy(&self) -> bool {
        let resting = matches!(
            self.known_state.state,
            InstanceState::Running | InstanceState::Stopped
        );
        !resting
            || self.differs_since.is_some()
            || !self.unattributed.is_empty()
            || !self.buffered.is_empty()
    }

    pub(crate) fn agrees_with(&self, instance: &Instance) -> bool {
        self.known_state.state == instance.state && self.started_since(instance).is_none()
    }

    /// Returns when the instance was started since it was last observed, if it was.
    pub(crate) fn started_since(&self, instance: &Instance) -> Option<Timestamp> {
        let known_launch = self.known_state.launched_at?;
        let was_running = direction(self.known_state.state) == Some(Action::Start);
        let is_stopped = direction(instance.state) == Some(Action::Stop);
        instance
            .launched_at
            .filter(|launched| *launched > known_launch && (was_running || is_stopped))
    }

    pub(crate) fn has(&self, event: &str) -> bool {
        let unattributed = self.unattributed.iter();
        let mut unattributed = unattributed.filter_map(|change| change.event.as_deref());
        unattributed.any(|id| id == event)
            || self
                .buffered
                .iter()
                .any(|buffered| buffered.event.id == event)
    }

    /// Takes the buffered events that polls have overtaken.
    pub(crate) fn take_overtaken(&mut self, may_decide: impl Fn(Timestamp) -> bool) -> Vec<String> {
        let confirmed_at = self.confirmed_at;
        let overtaken = |buffered: &mut BufferedEvent| {
            may_decide(buffered.received)
                && confirmed_at.is_some_and(|confirmed_at| buffered.event.at < confirmed_at)
        };
        let past = self.buffered.extract_if(.., overtaken);
        past.map(|buffered| buffered.event.id).collect()
    }

    pub(crate) fn advance(&mut self, found: &Transition, source: ChangeSource<'_>) {
        let (instance, since) = match source {
            ChangeSource::Observation(instance, at) => (Some(instance), at),
            ChangeSource::Event(instance, at) => (instance, at),
            ChangeSource::Between(at) => (None, at),
        };
        let known_state = &mut self.known_state;
        known_state.state = found.to;
        known_state.since = Some(since);
        known_state.cause = Some(found.cause.clone());
        known_state.name.clone_from(&found.name);
        known_state.schedule.clone_from(&found.schedule);
        known_state.instance_type.clone_from(&found.instance_type);
        let Some(instance) = instance else { return };
        let confirmed_at = matches!(source, ChangeSource::Observation(..));
        // Events may be read long after they were sent, so what happened later must not be taken from the instance.
        let launched = instance.launched_at;
        let by_then = launched.is_some_and(|launched| whole_seconds(launched) <= since);
        if confirmed_at || (by_then && direction(found.to) == Some(Action::Start)) {
            known_state.launched_at = launched;
        }
        let tag = instance.tags.get(LAST_TAG);
        let last = tag.and_then(|tag| tag.parse::<LastApplied>().ok());
        let by_then = last.is_none_or(|last| last.at.duration_since(since) <= EARLY_TRIGGER);
        if confirmed_at || by_then {
            known_state.last = tag.cloned();
        }
    }
}

/// Returns the start of the instant's second, the resolution of events.
pub(crate) fn whole_seconds(at: Timestamp) -> Timestamp {
    let floor = jiff::TimestampRound::new()
        .smallest(Unit::Second)
        .mode(jiff::RoundMode::Floor);
    at.round(floor).unwrap_or(at)
}
