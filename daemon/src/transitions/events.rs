//! Processing of events by their order: a stale one adds nothing, the next one is recorded, and an early one waits.

use std::collections::HashMap;

use curfew_core::instance::{Instance, InstanceId};
use curfew_core::transition::{direction, transition_from_event};
use curfew_journal::{Attribution, TransitionRecord};
use jiff::Timestamp;
use tracing::debug;

use super::tracked_instance::{BufferedEvent, ChangeSource, EventOrder, rank};
use super::{CloudTrailCall, EventBatch, QueuedStateChange, TransitionTracker};

/// The most calls that wait for their transition. CloudTrail is minutes late, so there are hardly ever any.
const CALLS: usize = 256;

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
        let by_id: HashMap<&InstanceId, &Instance> =
            instances.iter().map(|one| (&one.id, one)).collect();
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
        let Some(known) = self.known.get_mut(&id) else {
            // Launched since the last poll, or gone already.
            self.finished.push(event.id);
            let launched = instance.filter(|_| direction(event.state).is_some());
            let first = launched.map(|one| self.first(one, event.state, event.at));
            return first.into_iter().collect();
        };
        if known.has(&event.id) {
            return Vec::new();
        }
        match known.order_of(&event, instance) {
            EventOrder::Stale => {
                debug!(instance = %id, state = %event.state, at = %event.at, "stale event ignored");
                self.finished.push(event.id);
                Vec::new()
            }
            EventOrder::Next => {
                let mut records = self.apply_event(event, instance, now);
                // An event that was too early may be the next now.
                for BufferedEvent { event, received } in self.release(&id) {
                    let place = self
                        .known
                        .get(&id)
                        .map(|known| known.order_of(&event, instance));
                    match (place, self.known.get_mut(&id)) {
                        (Some(EventOrder::Next), _) => {
                            records.extend(self.apply_event(event, instance, now));
                        }
                        (Some(EventOrder::Early), Some(known)) => {
                            known.buffered.push(BufferedEvent { event, received });
                        }
                        _ => self.finished.push(event.id),
                    }
                }
                records
            }
            EventOrder::Early => {
                known.buffered.push(BufferedEvent {
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
        let Some(known) = self.known.get(&which) else {
            return Vec::new();
        };
        let found = transition_from_event(
            &which,
            &known.sighting,
            state,
            at,
            instance,
            &self.schedule_set,
        );
        self.commit(found, Some(id), ChangeSource::Event(instance, at), now)
    }

    /// Takes the buffered events of an instance, in order.
    pub(crate) fn release(&mut self, id: &InstanceId) -> Vec<BufferedEvent> {
        let known = self.known.get_mut(id);
        let mut buffered = known
            .map(|known| std::mem::take(&mut known.buffered))
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
