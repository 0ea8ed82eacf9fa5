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
        if !self.instances.contains_key(&instance.id) {
            return vec![self.first(instance, instance.state, begun)];
        }
        let mut records = self.attribute_with(instance, now);
        let stream = self.event_stream_for(&instance.id);
        let schedule = schedule_of(&self.schedule_set, instance);
        let Some(tracked) = self.instances.get_mut(&instance.id) else {
            return records;
        };
        if tracked.agrees_with(instance) {
            tracked.differs_since = None;
            if stream.may_decide(Timestamp::MIN, now) {
                tracked.confirmed_at = tracked
                    .confirmed_at
                    .max(begun.checked_sub(REPLICA_LAG).ok());
            }
            let past = tracked.take_overtaken(|received| stream.may_decide(received, now));
            self.finished.extend(past);
            let current = KnownState {
                since: tracked.known_state.since,
                schedule,
                ..KnownState::of(instance, tracked.known_state.cause.clone())
            };
            if tracked.unattributed.is_empty() && current != tracked.known_state {
                tracked.known_state = current.clone();
                records.push(TransitionRecord {
                    instance: instance.id.clone(),
                    transition: None,
                    event: None,
                    known_state: Some(current),
                });
            }
            return records;
        }
        let differs_since = *tracked.differs_since.get_or_insert(now);
        if stream.may_decide(differs_since, now) {
            tracked.differs_since = None;
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
                .instances
                .get(id)
                .map(|tracked| tracked.order_of(&event, Some(instance)))
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
        let Some(tracked) = self.instances.get(id) else {
            return records;
        };
        if let Some(launched) = tracked.started_since(instance) {
            records.extend(self.infer_missing(instance, InstanceState::Pending, launched, now));
            if direction(instance.state) == Some(Action::Stop) {
                records.extend(self.infer_missing(instance, instance.state, launched, now));
            }
        }
        let Some(tracked) = self.instances.get(id) else {
            return records;
        };
        if let Some(found) = transition(&tracked.known_state, instance, &self.schedule_set, now) {
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
        let Some(tracked) = self.instances.get(&instance.id) else {
            return Vec::new();
        };
        let missing = match (direction(tracked.known_state.state), direction(to)) {
            (Some(Action::Start), Some(Action::Start)) => InstanceState::Stopped,
            (Some(Action::Stop), Some(Action::Stop)) => InstanceState::Running,
            _ => return Vec::new(),
        };
        let found = inferred(
            &instance.id,
            &tracked.known_state,
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
            .instances
            .iter()
            .filter(|(id, _)| !present.contains(id))
            .filter(|(_, tracked)| {
                observations
                    .iter()
                    .any(|region| self.covers(&region.account_region, &tracked.known_state))
            })
            .map(|(id, _)| id.clone())
            .collect();
        let mut records = Vec::new();
        for id in missing {
            let stream = self.event_stream_for(&id);
            let Some(tracked) = self.instances.get_mut(&id) else {
                continue;
            };
            let Some(differs_since) = tracked
                .differs_since
                .replace(tracked.differs_since.unwrap_or(now))
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
                if let Some(tracked) = self.instances.remove(&id) {
                    records.push(TransitionRecord {
                        transition: Some(disappearance(&id, &tracked.known_state, differs_since)),
                        instance: id,
                        event: None,
                        known_state: None,
                    });
                }
            }
        }
        records
    }

    fn covers(&self, account_region: &AccountRegion, known_state: &KnownState) -> bool {
        let account = match (&account_region.account, &self.own) {
            (Some(account), _) | (None, Some(account)) => known_state.account == *account,
            (None, None) => !self.others.contains(&known_state.account),
        };
        account && known_state.region == account_region.region
    }
}
