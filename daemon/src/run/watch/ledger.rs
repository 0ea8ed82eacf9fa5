//! What is known of every instance, and what a look or an event means beside it: one stream of transitions, each once, in order for
//! each instance.
//!
//! Events say what happened, and when; a look says what is, and why (the tags). Either may come first, late or never, so an event
//! that does not follow on what is known waits for the one before it, and a look that finds something new waits for the events of
//! it, where events come at all. What neither told, and must have happened, is inferred, and says so.

mod causes;
mod events;
mod known;
mod looks;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use curfew_core::instance::{AccountId, Instance, InstanceId, InstanceState, Region};
use curfew_core::schedule::ScheduleName;
use curfew_core::schedule_set::ScheduleSet;
use curfew_core::transition::Sighting;
use jiff::{SignedDuration, Timestamp};

use super::acts::Acts;
use super::event::{Call, Event};
use super::flow::Flow;
use super::{Look, Seen, Told};
use crate::run::InForce;
use curfew_journal::{Blame, Record, Watch};
use known::Known;

/// A time without looks that is no gap: an hour costs more than what may go unseen in it.
const BRIDGED: SignedDuration = SignedDuration::from_mins(10);
/// Events wait in the queue for four days, so a shorter absence is no gap where they are read afterwards (`deploy/stack.yaml`).
const BRIDGED_BY_EVENTS: SignedDuration = SignedDuration::from_hours(4 * 24);

/// What is known of every instance.
#[derive(Debug)]
pub struct Ledger {
    known: HashMap<InstanceId, Known>,
    schedule_set: Arc<ScheduleSet>,
    /// The other accounts: what is not theirs is the own account's.
    others: HashSet<AccountId>,
    /// The own account, once one of its instances was seen.
    own: Option<AccountId>,
    flow: Flow,
    /// The region whose events come.
    home: Option<Region>,
    acts: Acts,
    calls: VecDeque<Call>,
    blames: Vec<Blame>,
    finished: Vec<String>,
}

impl Ledger {
    /// Goes on from what the journal knows: what changed while nobody watched is found at the first look, or told by the events
    /// that have waited.
    pub(in crate::run) fn new(known: HashMap<InstanceId, Sighting>, now: &InForce) -> Self {
        let mut ledger = Self::of(known, Arc::clone(&now.schedule_set));
        ledger.manage(now);
        ledger
    }

    fn of(known: HashMap<InstanceId, Sighting>, schedule_set: Arc<ScheduleSet>) -> Self {
        let known = known
            .into_iter()
            .map(|(id, sighting)| (id, Known::new(sighting)));
        Self {
            known: known.collect(),
            schedule_set,
            others: HashSet::new(),
            own: None,
            flow: Flow::Absent,
            home: None,
            acts: Acts::default(),
            calls: VecDeque::new(),
            blames: Vec::new(),
            finished: Vec::new(),
        }
    }

    /// Goes by other configuration from now on.
    pub(in crate::run) fn manage(&mut self, now: &InForce) {
        self.schedule_set = Arc::clone(&now.schedule_set);
        let account_regions = now.organisation.account_regions().iter();
        self.others = account_regions
            .filter_map(|one| one.account_region.account.clone())
            .collect();
    }

    /// The same where a queue is asked for the events of `region` from `now` on. `heard` says whether it has told of any before.
    #[must_use]
    pub fn listening(self, region: Region, heard: bool, now: Timestamp) -> Self {
        Self {
            flow: Flow::of_queue(heard, now),
            home: Some(region),
            ..self
        }
    }

    /// The same where this process acts too.
    #[must_use]
    pub(in crate::run) fn beside(self, acts: Acts) -> Self {
        Self { acts, ..self }
    }

    /// What a sighting at `now` adds to the journal.
    pub fn see(&mut self, seen: Seen, now: Timestamp) -> Vec<Record> {
        let mut records = Vec::new();
        match seen {
            Seen::Everything(looks) => {
                for look in &looks {
                    if look.account_region.account.is_none() {
                        let owner = look.instances.first().map(|one| one.account.clone());
                        self.own = owner.or(self.own.take());
                    }
                    for instance in &look.instances {
                        self.look(instance, look.begun, now, &mut records);
                    }
                }
                self.miss(&looks, now, &mut records);
            }
            Seen::Told(told) => self.hear(told, now, &mut records),
        }
        self.give_up(now, &mut records);
        records
    }

    /// The events that need no record, since the last time that somebody asked.
    pub fn finished(&mut self) -> Vec<String> {
        std::mem::take(&mut self.finished)
    }

    /// Whom CloudTrail has named, likewise.
    pub fn blames(&mut self) -> Vec<Blame> {
        std::mem::take(&mut self.blames)
    }

    /// Whether something is under way, so that it is worth looking often.
    pub fn is_busy(&self) -> bool {
        self.known.values().any(Known::is_busy)
    }

    /// Whether events tell of every change, so that looks only check them.
    pub fn is_told(&self, now: Timestamp) -> bool {
        self.flow.tells(now)
    }

    /// What the journal is to note of looks at everything; nothing, while events that have waited are still being read.
    pub fn watches(&self, looks: &[Look], now: Timestamp) -> Vec<Watch> {
        let events_tell = self.flow.tells(now);
        let caught_up = self.flow.has_passed(Timestamp::MIN, now);
        let watch = |look: &Look| {
            let account = look
                .account_region
                .account
                .clone()
                .or_else(|| self.own.clone())?;
            let home = look.account_region.account.is_none()
                && self.home.as_ref() == Some(&look.account_region.region);
            let bridges = if home && events_tell {
                BRIDGED_BY_EVENTS
            } else {
                BRIDGED
            };
            let region = look.account_region.region.clone();
            (caught_up || !home).then_some(Watch {
                account,
                region,
                at: look.begun,
                bridges,
            })
        };
        looks.iter().filter_map(watch).collect()
    }

    /// Everything that is known, for a journal that begins anew.
    pub fn everything(&self) -> Vec<Record> {
        let settled = self.known.iter();
        let settled = settled.filter(|(_, known)| known.unexplained.is_empty());
        settled
            .map(|(id, known)| Record {
                instance: id.clone(),
                transition: None,
                event: None,
                sighting: Some(known.sighting.clone()),
            })
            .collect()
    }

    /// Writes what nothing explains as it stands. What events told comes again after the end, and is explained then.
    pub fn settle_all(&mut self) -> Vec<Record> {
        let by_looks = |known: &Known| known.unexplained.iter().all(|one| one.event.is_none());
        let ids = self.known.iter().filter(|(_, known)| by_looks(known));
        let ids: Vec<InstanceId> = ids.map(|(id, _)| id.clone()).collect();
        let mut records = Vec::new();
        for id in ids {
            self.settle(&id, &mut records);
        }
        records
    }

    fn first(&mut self, instance: &Instance, state: InstanceState, since: Timestamp) -> Record {
        let sighting = Sighting {
            state,
            since: Some(since),
            schedule: self.schedule(instance),
            ..Sighting::of(instance, None)
        };
        let known = Known::new(sighting.clone());
        self.known.insert(instance.id.clone(), known);
        Record {
            instance: instance.id.clone(),
            transition: None,
            event: None,
            sighting: Some(sighting),
        }
    }

    fn schedule(&self, instance: &Instance) -> Option<ScheduleName> {
        let schedule = self.schedule_set.schedule_for(instance).ok()?;
        Some(schedule.name.clone())
    }

    /// The stream of events that tells of this instance.
    fn flow_for(&self, id: &InstanceId) -> Flow {
        let home = self.known.get(id).is_some_and(|known| {
            self.home.as_ref() == Some(&known.sighting.region)
                && !self.others.contains(&known.sighting.account)
        });
        if home { self.flow } else { Flow::Absent }
    }
}

#[cfg(test)]
mod tests;
