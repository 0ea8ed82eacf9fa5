//! Processes events by their order: a stale one adds nothing, the next one is recorded, and an early one waits.

use std::collections::HashMap;

use curfew_core::instance::{Instance, InstanceId, InstanceState};
use curfew_core::timetable::Action;
use curfew_core::transition::{direction, transition_from_event};
use curfew_journal::{Attribution, TransitionRecord};
use jiff::Timestamp;
use tracing::debug;

use super::tracked_instance::{BufferedEvent, ChangeSource, TrackedInstance, whole_seconds};
use super::{CloudTrailCall, EventBatch, QueuedStateChange, TransitionTracker};

/// The most calls that wait for their transition. CloudTrail is minutes late, so there are hardly ever any.
const CALLS: usize = 256;

/// The order of an event relative to the known state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EventOrder {
    /// The event is part of the known state.
    Stale,
    /// The event follows on the known state.
    Next,
    /// An event in between is missing.
    Early,
}

impl TrackedInstance {
    /// Returns the order of an event; `instance` is the instance as EC2 described it since.
    pub(crate) fn order_of(
        &self,
        event: &QueuedStateChange,
        instance: Option<&Instance>,
    ) -> EventOrder {
        let state = self.known_state.state;
        let known_until = self
            .known_state
            .since
            .map(whole_seconds)
            .max(self.confirmed_at);
        if known_until.is_some_and(|until| event.at < until) {
            return EventOrder::Stale;
        }
        let missed = instance
            .and_then(|instance| self.started_since(instance))
            .is_some_and(|launched| {
                direction(state) == Some(Action::Start) && event.at >= whole_seconds(launched)
            });
        match (missed, event.state == state, follows(state, event.state)) {
            (false, true, _) => EventOrder::Stale,
            (false, false, true) => EventOrder::Next,
            _ => EventOrder::Early,
        }
    }
}

impl TransitionTracker {
    pub(crate) fn apply_events(
        &mut self,
        batch: EventBatch,
        now: Timestamp,
    ) -> Vec<TransitionRecord> {
        let EventBatch {
            mut events,
            calls,
            instances,
            drained,
        } = batch;
        self.event_stream.answered(!events.is_empty(), drained, now);
        for call in calls {
            self.remember(call);
        }
        let by_id: HashMap<&InstanceId, &Instance> = instances
            .iter()
            .map(|instance| (&instance.id, instance))
            .collect();
        events.sort_by_key(|event| (event.at, rank(event.state)));
        let mut records = Vec::new();
        for event in events {
            let instance = by_id.get(&event.instance).copied();
            records.extend(self.take(event, instance, now));
        }
        for instance in &instances {
            records.extend(self.attribute_with(instance, now));
        }
        records
    }

    fn take(
        &mut self,
        event: QueuedStateChange,
        instance: Option<&Instance>,
        now: Timestamp,
    ) -> Vec<TransitionRecord> {
        let id = event.instance.clone();
        let Some(tracked) = self.instances.get_mut(&id) else {
            // Launched since the last poll, or gone already.
            self.finished.push(event.id);
            let launched = instance.filter(|_| direction(event.state).is_some());
            let first = launched.map(|instance| self.first(instance, event.state, event.at));
            return first.into_iter().collect();
        };
        if tracked.has(&event.id) {
            return Vec::new();
        }
        match tracked.order_of(&event, instance) {
            EventOrder::Stale => {
                debug!(instance = %id, state = %event.state, at = %event.at, "stale event ignored");
                self.finished.push(event.id);
                Vec::new()
            }
            EventOrder::Next => {
                let mut records = self.apply_event(event, instance, now);
                // An event that was too early may be the next now.
                for BufferedEvent { event, received } in self.release(&id) {
                    let order = self
                        .instances
                        .get(&id)
                        .map(|tracked| tracked.order_of(&event, instance));
                    match (order, self.instances.get_mut(&id)) {
                        (Some(EventOrder::Next), _) => {
                            records.extend(self.apply_event(event, instance, now));
                        }
                        (Some(EventOrder::Early), Some(tracked)) => {
                            tracked.buffered.push(BufferedEvent { event, received });
                        }
                        _ => self.finished.push(event.id),
                    }
                }
                records
            }
            EventOrder::Early => {
                tracked.buffered.push(BufferedEvent {
                    event,
                    received: now,
                });
                Vec::new()
            }
        }
    }

    pub(crate) fn apply_event(
        &mut self,
        event: QueuedStateChange,
        instance: Option<&Instance>,
        now: Timestamp,
    ) -> Vec<TransitionRecord> {
        let QueuedStateChange {
            id,
            instance: which,
            state,
            at,
            ..
        } = event;
        let Some(tracked) = self.instances.get(&which) else {
            return Vec::new();
        };
        let found = transition_from_event(
            &which,
            &tracked.known_state,
            state,
            at,
            instance,
            &self.schedule_set,
        );
        self.commit(found, Some(id), ChangeSource::Event(instance, at), now)
    }

    /// Takes the buffered events of an instance, in order.
    pub(crate) fn release(&mut self, id: &InstanceId) -> Vec<BufferedEvent> {
        let tracked = self.instances.get_mut(id);
        let mut buffered = tracked
            .map(|tracked| std::mem::take(&mut tracked.buffered))
            .unwrap_or_default();
        buffered.sort_by_key(|buffered| (buffered.event.at, rank(buffered.event.state)));
        buffered
    }

    fn remember(&mut self, call: CloudTrailCall) {
        for instance in &call.instances {
            self.attributions.push(Attribution {
                instance: instance.clone(),
                to: call.to,
                at: call.at,
                by: call.by.clone(),
            });
        }
        self.finished.push(call.id.clone());
        self.calls.push_back(call);
        if self.calls.len() > CALLS {
            self.calls.pop_front();
        }
    }
}

/// Whether EC2 moves an instance from one state to the other without a state in between.
/// <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-instance-lifecycle.html>
fn follows(from: InstanceState, to: InstanceState) -> bool {
    use InstanceState as S;
    match from {
        S::Pending => matches!(
            to,
            S::Running | S::Stopped | S::ShuttingDown | S::Terminated
        ),
        S::Running => matches!(to, S::Stopping | S::ShuttingDown),
        S::Stopping => matches!(to, S::Stopped | S::ShuttingDown),
        S::Stopped => matches!(to, S::Pending | S::ShuttingDown | S::Terminated),
        S::ShuttingDown => to == S::Terminated,
        S::Terminated => false,
        // An unknown state may precede or follow any other.
        S::Other => true,
    }
}

/// The order of states within one second, the resolution of events.
pub(crate) fn rank(state: InstanceState) -> u8 {
    match state {
        InstanceState::Pending => 0,
        InstanceState::Running => 1,
        InstanceState::Stopping => 2,
        InstanceState::Stopped => 3,
        InstanceState::ShuttingDown => 4,
        InstanceState::Terminated => 5,
        InstanceState::Other => 6,
    }
}
