//! What events add, each in its place: the past tells nothing, the next thing is written, and what is too early waits.

use std::collections::HashMap;

use curfew_core::instance::{Instance, InstanceId};
use curfew_core::transition::{direction, told};
use curfew_journal::{Blame, Record};
use jiff::Timestamp;
use tracing::debug;

use super::known::{Held, Place, Source, rank};
use super::{Call, Event, Ledger, Told};

/// Calls that wait for the change that they explain. CloudTrail is minutes late, so there are hardly ever any.
const CALLS: usize = 256;

impl Ledger {
    pub(super) fn hear(&mut self, told: Told, now: Timestamp, records: &mut Vec<Record>) {
        let Told {
            mut events,
            calls,
            instances,
            drained,
        } = told;
        self.flow.answered(!events.is_empty(), drained, now);
        for call in calls {
            self.remember(call);
        }
        let by_id: HashMap<&InstanceId, &Instance> =
            instances.iter().map(|one| (&one.id, one)).collect();
        events.sort_by_key(|event| (event.at, rank(event.state)));
        for event in events {
            let instance = by_id.get(&event.instance).copied();
            self.take(event, instance, now, records);
        }
        for instance in &instances {
            self.explain(instance, now, records);
        }
    }

    fn take(
        &mut self,
        event: Event,
        instance: Option<&Instance>,
        now: Timestamp,
        records: &mut Vec<Record>,
    ) {
        let id = event.instance.clone();
        let Some(known) = self.known.get_mut(&id) else {
            // Launched since the last look, or gone already.
            if let (Some(instance), Some(_)) = (instance, direction(event.state)) {
                let record = self.first(instance, event.state, event.at);
                records.push(record);
            }
            self.finished.push(event.id);
            return;
        };
        if known.has(&event.id) {
            return;
        }
        match known.place(&event, instance) {
            Place::Past => {
                debug!(instance = %id, state = %event.state, at = %event.at, "an event tells nothing new");
                self.finished.push(event.id);
            }
            Place::Next => {
                self.apply(event, instance, now, records);
                // One that came too early may be the next now.
                for Held { event, received } in self.release(&id) {
                    let place = self
                        .known
                        .get(&id)
                        .map(|known| known.place(&event, instance));
                    match (place, self.known.get_mut(&id)) {
                        (Some(Place::Next), _) => self.apply(event, instance, now, records),
                        (Some(Place::Later), Some(known)) => {
                            known.held.push(Held { event, received });
                        }
                        _ => self.finished.push(event.id),
                    }
                }
            }
            Place::Later => {
                known.held.push(Held {
                    event,
                    received: now,
                });
            }
        }
    }

    pub(super) fn apply(
        &mut self,
        event: Event,
        instance: Option<&Instance>,
        now: Timestamp,
        records: &mut Vec<Record>,
    ) {
        let Event {
            id,
            instance: which,
            state,
            at,
            ..
        } = event;
        let Some(known) = self.known.get(&which) else {
            return;
        };
        let found = told(
            &which,
            &known.sighting,
            state,
            at,
            instance,
            &self.schedule_set,
        );
        self.commit(found, Some(id), Source::Event(instance, at), now, records);
    }

    /// The held events of an instance, in order.
    pub(super) fn release(&mut self, id: &InstanceId) -> Vec<Held> {
        let known = self.known.get_mut(id);
        let mut held = known
            .map(|known| std::mem::take(&mut known.held))
            .unwrap_or_default();
        held.sort_by_key(|held| (held.event.at, rank(held.event.state)));
        held
    }

    fn remember(&mut self, call: Call) {
        for instance in &call.instances {
            self.blames.push(Blame {
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
