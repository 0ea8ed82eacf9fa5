//! Processes polls: adds the transitions that only a poll shows, once the events for them have had their time, and those
//! that must have happened in between.

use std::collections::HashSet;

use curfew_core::account_regions::AccountRegion;
use curfew_core::instance::{Instance, InstanceId, InstanceState};
use curfew_core::timetable::Action;
use curfew_core::transition::{KnownState, direction, disappearance, inferred, transition};
use curfew_journal::TransitionRecord;
use jiff::{SignedDuration, Timestamp};

use super::event_order::EventOrder;
use super::tracked_instance::{BufferedEvent, ChangeSource};
use super::{RegionObservation, TransitionTracker};
use crate::active_configuration::schedule_of;

/// A poll may be slightly outdated: EC2 responds from replicas, which follow within seconds. An event of up to this long
/// before it is new.
const REPLICA_LAG: SignedDuration = SignedDuration::from_secs(10);

impl TransitionTracker {
    pub(crate) fn apply_instance(
        &mut self,
        instance: &Instance,
        begun: Timestamp,
        now: Timestamp,
    ) -> Vec<TransitionRecord> {
        if !self.known.contains_key(&instance.id) {
            return vec![self.first(instance, instance.state, begun)];
        }
        let mut records = self.attribute_with(instance, now);
        let stream = self.event_stream_for(&instance.id);
        let schedule = schedule_of(&self.schedule_set, instance);
        let Some(known) = self.known.get_mut(&instance.id) else {
            return records;
        };
        if known.agrees_with(instance) {
            known.differs_since = None;
            if stream.may_decide(Timestamp::MIN, now) {
                known.confirmed_at = known.confirmed_at.max(begun.checked_sub(REPLICA_LAG).ok());
            }
            let past = known.take_overtaken(|received| stream.may_decide(received, now));
            self.finished.extend(past);
            let current = KnownState {
                since: known.sighting.since,
                schedule,
                ..KnownState::of(instance, known.sighting.cause.clone())
            };
            if known.unattributed.is_empty() && current != known.sighting {
                known.sighting = current.clone();
                records.push(TransitionRecord {
                    instance: instance.id.clone(),
                    transition: None,
                    event: None,
                    sighting: Some(current),
                });
            }
            return records;
        }
        let differs_since = *known.differs_since.get_or_insert(now);
        if stream.may_decide(differs_since, now) {
            known.differs_since = None;
            records.extend(self.conclude(instance, begun, now));
        }
        records
    }

    /// Accepts the observation, because no more events are coming.
    fn conclude(
        &mut self,
        instance: &Instance,
        begun: Timestamp,
        now: Timestamp,
    ) -> Vec<TransitionRecord> {
        let id = &instance.id;
        let mut records = Vec::new();
        for BufferedEvent { event, .. } in self.release(id) {
            match self
                .known
                .get(id)
                .map(|known| known.order_of(&event, Some(instance)))
            {
                None | Some(EventOrder::Stale) => self.finished.push(event.id),
                Some(EventOrder::Next) => {
                    records.extend(self.apply_event(event, Some(instance), now));
                }
                Some(EventOrder::Early) => {
                    records.extend(self.infer_missing(instance, event.state, event.at, now));
                    records.extend(self.apply_event(event, Some(instance), now));
                }
            }
        }
        let Some(known) = self.known.get(id) else {
            return records;
        };
        if let Some(launched) = known.started_since(instance) {
            records.extend(self.infer_missing(instance, InstanceState::Pending, launched, now));
            if direction(instance.state) == Some(Action::Stop) {
                records.extend(self.infer_missing(instance, instance.state, launched, now));
            }
        }
        let Some(known) = self.known.get(id) else {
            return records;
        };
        if let Some(found) = transition(&known.sighting, instance, &self.schedule_set, now) {
            let source = ChangeSource::Observation(instance, begun);
            records.extend(self.commit(found, None, source, now));
        }
        records
    }

    /// Infers what must have happened before an instance can have reached state `to`: a running instance can't start, and a
    /// stopped one can't stop.
    fn infer_missing(
        &mut self,
        instance: &Instance,
        to: InstanceState,
        at: Timestamp,
        now: Timestamp,
    ) -> Vec<TransitionRecord> {
        let Some(known) = self.known.get(&instance.id) else {
            return Vec::new();
        };
        let missing = match (direction(known.sighting.state), direction(to)) {
            (Some(Action::Start), Some(Action::Start)) => InstanceState::Stopped,
            (Some(Action::Stop), Some(Action::Stop)) => InstanceState::Running,
            _ => return Vec::new(),
        };
        let found = inferred(
            &instance.id,
            &known.sighting,
            missing,
            at,
            instance,
            &self.schedule_set,
        );
        self.commit(found, None, ChangeSource::Between(at), now)
    }

    /// Returns the termination of instances that two consecutive complete polls of their account-region do not list.
    pub(crate) fn detect_missing(
        &mut self,
        observations: &[RegionObservation],
        now: Timestamp,
    ) -> Vec<TransitionRecord> {
        let instances = observations.iter().flat_map(|region| &region.instances);
        let present: HashSet<&InstanceId> = instances.map(|instance| &instance.id).collect();
        let missing: Vec<InstanceId> = self
            .known
            .iter()
            .filter(|(id, _)| !present.contains(id))
            .filter(|(_, known)| {
                observations
                    .iter()
                    .any(|region| self.covers(&region.account_region, &known.sighting))
            })
            .map(|(id, _)| id.clone())
            .collect();
        let mut records = Vec::new();
        for id in missing {
            let stream = self.event_stream_for(&id);
            let Some(known) = self.known.get_mut(&id) else {
                continue;
            };
            let Some(differs_since) = known
                .differs_since
                .replace(known.differs_since.unwrap_or(now))
            else {
                continue;
            };
            if stream.may_decide(differs_since, now) {
                records.extend(self.flush(&id));
                let buffered = self
                    .release(&id)
                    .into_iter()
                    .map(|buffered| buffered.event.id);
                self.finished.extend(buffered);
                if let Some(known) = self.known.remove(&id) {
                    records.push(TransitionRecord {
                        transition: Some(disappearance(&id, &known.sighting, differs_since)),
                        instance: id,
                        event: None,
                        sighting: None,
                    });
                }
            }
        }
        records
    }

    fn covers(&self, account_region: &AccountRegion, sighting: &KnownState) -> bool {
        let account = match (&account_region.account, &self.own) {
            (Some(account), _) | (None, Some(account)) => sighting.account == *account,
            (None, None) => !self.others.contains(&sighting.account),
        };
        account && sighting.region == account_region.region
    }
}
