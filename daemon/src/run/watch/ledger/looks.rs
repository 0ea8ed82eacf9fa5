//! What a look adds: what it alone shows, once the events that would tell of it have had their time, and what must have happened
//! in between.

use std::collections::HashSet;

use curfew_core::account_regions::AccountRegion;
use curfew_core::instance::{Instance, InstanceId, InstanceState};
use curfew_core::timetable::Action;
use curfew_core::transition::{Sighting, direction, disappearance, inferred, transition};
use curfew_journal::Record;
use jiff::{SignedDuration, Timestamp};

use super::known::{Held, Place, Source};
use super::{Ledger, Look};

/// A look is not quite up to date: EC2 answers from copies, which follow within seconds. An event of this time before is news.
const UP_TO_DATE: SignedDuration = SignedDuration::from_secs(10);

impl Ledger {
    pub(super) fn look(
        &mut self,
        instance: &Instance,
        begun: Timestamp,
        now: Timestamp,
        records: &mut Vec<Record>,
    ) {
        if !self.known.contains_key(&instance.id) {
            let record = self.first(instance, instance.state, begun);
            records.push(record);
            return;
        }
        self.explain(instance, now, records);
        let flow = self.flow_for(&instance.id);
        let schedule = self.schedule(instance);
        let Some(known) = self.known.get_mut(&instance.id) else {
            return;
        };
        if known.agrees_with(instance) {
            known.noticed = None;
            if flow.has_passed(Timestamp::MIN, now) {
                known.looked = known.looked.max(begun.checked_sub(UP_TO_DATE).ok());
            }
            let past = known.past(|received| flow.has_passed(received, now));
            self.finished.extend(past);
            let current = Sighting {
                since: known.sighting.since,
                schedule,
                ..Sighting::of(instance, known.sighting.cause.clone())
            };
            if known.unexplained.is_empty() && current != known.sighting {
                known.sighting = current.clone();
                records.push(Record {
                    instance: instance.id.clone(),
                    transition: None,
                    event: None,
                    sighting: Some(current),
                });
            }
            return;
        }
        let noticed = *known.noticed.get_or_insert(now);
        if flow.has_passed(noticed, now) {
            known.noticed = None;
            self.conclude(instance, begun, now, records);
        }
    }

    /// No more events are coming: what was told and what is seen have to do.
    fn conclude(
        &mut self,
        instance: &Instance,
        begun: Timestamp,
        now: Timestamp,
        records: &mut Vec<Record>,
    ) {
        let id = &instance.id;
        for Held { event, .. } in self.release(id) {
            match self
                .known
                .get(id)
                .map(|known| known.place(&event, Some(instance)))
            {
                None | Some(Place::Past) => self.finished.push(event.id),
                Some(Place::Next) => self.apply(event, Some(instance), now, records),
                Some(Place::Later) => {
                    self.bridge(instance, event.state, event.at, now, records);
                    self.apply(event, Some(instance), now, records);
                }
            }
        }
        let Some(known) = self.known.get(id) else {
            return;
        };
        if let Some(launched) = known.started_since(instance) {
            self.bridge(instance, InstanceState::Pending, launched, now, records);
            if direction(instance.state) == Some(Action::Stop) {
                self.bridge(instance, instance.state, launched, now, records);
            }
        }
        let Some(known) = self.known.get(id) else {
            return;
        };
        if let Some(found) = transition(&known.sighting, instance, &self.schedule_set, now) {
            self.commit(found, None, Source::Look(instance, begun), now, records);
        }
    }

    /// Infers what must have happened before an instance can have come to state `to`: one that runs can't start, and one that is
    /// stopped can't stop.
    fn bridge(
        &mut self,
        instance: &Instance,
        to: InstanceState,
        at: Timestamp,
        now: Timestamp,
        records: &mut Vec<Record>,
    ) {
        let Some(known) = self.known.get(&instance.id) else {
            return;
        };
        let missing = match (direction(known.sighting.state), direction(to)) {
            (Some(Action::Start), Some(Action::Start)) => InstanceState::Stopped,
            (Some(Action::Stop), Some(Action::Stop)) => InstanceState::Running,
            _ => return,
        };
        let found = inferred(
            &instance.id,
            &known.sighting,
            missing,
            at,
            instance,
            &self.schedule_set,
        );
        self.commit(found, None, Source::Between(at), now, records);
    }

    /// An instance that two complete looks in a row at its account and region do not list is gone.
    pub(super) fn miss(&mut self, looks: &[Look], now: Timestamp, records: &mut Vec<Record>) {
        let instances = looks.iter().flat_map(|look| &look.instances);
        let present: HashSet<&InstanceId> = instances.map(|instance| &instance.id).collect();
        let missing: Vec<InstanceId> = self
            .known
            .iter()
            .filter(|(id, _)| !present.contains(id))
            .filter(|(_, known)| {
                looks
                    .iter()
                    .any(|look| self.covers(&look.account_region, &known.sighting))
            })
            .map(|(id, _)| id.clone())
            .collect();
        for id in missing {
            let flow = self.flow_for(&id);
            let Some(known) = self.known.get_mut(&id) else {
                continue;
            };
            let Some(noticed) = known.noticed.replace(known.noticed.unwrap_or(now)) else {
                continue;
            };
            if flow.has_passed(noticed, now) {
                self.settle(&id, records);
                let held = self.release(&id).into_iter().map(|held| held.event.id);
                self.finished.extend(held);
                if let Some(known) = self.known.remove(&id) {
                    records.push(Record {
                        transition: Some(disappearance(&id, &known.sighting, noticed)),
                        instance: id,
                        event: None,
                        sighting: None,
                    });
                }
            }
        }
    }

    fn covers(&self, account_region: &AccountRegion, sighting: &Sighting) -> bool {
        let account = match (&account_region.account, &self.own) {
            (Some(account), _) | (None, Some(account)) => sighting.account == *account,
            (None, None) => !self.others.contains(&sighting.account),
        };
        account && sighting.region == account_region.region
    }
}
