//! What is known of every instance, and what a look or an event means beside it: one stream of transitions, each once, in order for
//! each instance.
//!
//! Events say what happened, and when; a look says what is, and why (the tags). Either may come first, late or never, so an event
//! that does not follow on what is known waits for the one before it, and a look that finds something new waits for the events of
//! it, where events come at all. What neither told, and must have happened, is inferred, and says so.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use curfew_core::govern::Governance;
use curfew_core::instance::{AccountId, Instance, InstanceId, InstanceState, Region};
use curfew_core::membership::Member;
use curfew_core::memory::{Cause, LAST_TAG, Last};
use curfew_core::plan::EARLY_WAKE_UP;
use curfew_core::timetable::Action;
use curfew_core::transition::{
    Evidence, Sighting, Transition, direction, disappearance, explained, inferred, told, transition,
};
use jiff::{SignedDuration, Timestamp, Unit};
use tracing::debug;

use super::acts::Acts;
use super::event::{Call, Event};
use super::flow::Flow;
use super::{Look, Seen, Told};
use crate::journal::{Blame, Record, Watch};
use crate::run::InForce;

/// Curfew's tag is written after the call that it explains, so what nothing explains is looked at once more after this long.
const EXPLAINED_WITHIN: SignedDuration = SignedDuration::from_secs(3);
/// What nobody could look at for this long is written without an explanation.
const LOOKED_AT_WITHIN: SignedDuration = SignedDuration::from_mins(1);
/// A look is not quite up to date: EC2 answers from copies, which follow within seconds. An event of this time before is news.
const UP_TO_DATE: SignedDuration = SignedDuration::from_secs(10);
/// Calls that wait for the change that they explain. CloudTrail is minutes late, so there are hardly ever any.
const CALLS: usize = 256;
/// A time without looks that is no gap: an hour costs more than what may go unseen in it.
const BRIDGED: SignedDuration = SignedDuration::from_mins(10);
/// Events wait in the queue for four days, so a shorter absence is no gap where they are read afterwards (`deploy/stack.yaml`).
const BRIDGED_BY_EVENTS: SignedDuration = SignedDuration::from_hours(4 * 24);

/// What is known of every instance.
#[derive(Debug)]
pub struct Ledger {
    known: HashMap<InstanceId, Known>,
    governance: Arc<Governance>,
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

/// One instance.
#[derive(Debug)]
struct Known {
    /// The last state that was told of or seen, written or not.
    sighting: Sighting,
    /// Until when a look has found nothing else.
    looked: Option<Timestamp>,
    /// Since when looks have found something else.
    noticed: Option<Timestamp>,
    /// Changes that are not written, since nothing explains the first of them yet.
    unexplained: Vec<Unexplained>,
    /// Events that don't follow on what is known.
    held: Vec<Held>,
}

#[derive(Debug)]
struct Unexplained {
    before: Sighting,
    transition: Transition,
    event: Option<String>,
    found: Timestamp,
}

#[derive(Debug)]
struct Held {
    event: Event,
    received: Timestamp,
}

/// What an event is beside what is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Part of what is known.
    Past,
    /// The next thing that happened.
    Next,
    /// Something is missing in between.
    Later,
}

/// Where news of an instance is from.
#[derive(Clone, Copy, Debug)]
enum Source<'a> {
    /// A look that was begun then.
    Look(&'a Instance, Timestamp),
    /// An event of then, and the instance as it was looked up since.
    Event(Option<&'a Instance>, Timestamp),
    /// The events or looks around it.
    Between(Timestamp),
}

impl Ledger {
    /// Goes on from what the journal knows: what changed while nobody watched is found at the first look, or told by the events
    /// that have waited.
    pub(in crate::run) fn new(known: HashMap<InstanceId, Sighting>, now: &InForce) -> Self {
        let mut ledger = Self::of(known, Arc::clone(&now.governance));
        ledger.govern(now);
        ledger
    }

    fn of(known: HashMap<InstanceId, Sighting>, governance: Arc<Governance>) -> Self {
        let known = known
            .into_iter()
            .map(|(id, sighting)| (id, Known::new(sighting)));
        Self {
            known: known.collect(),
            governance,
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

    /// Goes by other settings from now on.
    pub(in crate::run) fn govern(&mut self, now: &InForce) {
        self.governance = Arc::clone(&now.governance);
        let members = now.organisation.members().iter();
        self.others = members
            .filter_map(|one| one.member.account.clone())
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
                    if look.member.account.is_none() {
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
            let account = look.member.account.clone().or_else(|| self.own.clone())?;
            let home =
                look.member.account.is_none() && self.home.as_ref() == Some(&look.member.region);
            let bridges = if home && events_tell {
                BRIDGED_BY_EVENTS
            } else {
                BRIDGED
            };
            let region = look.member.region.clone();
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
}

/// Looks.
impl Ledger {
    fn look(
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
        if let Some(found) = transition(&known.sighting, instance, &self.governance, now) {
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
            &self.governance,
        );
        self.commit(found, None, Source::Between(at), now, records);
    }

    /// An instance that two complete looks in a row at its account and region do not list is gone.
    fn miss(&mut self, looks: &[Look], now: Timestamp, records: &mut Vec<Record>) {
        let instances = looks.iter().flat_map(|look| &look.instances);
        let present: HashSet<&InstanceId> = instances.map(|instance| &instance.id).collect();
        let missing: Vec<InstanceId> = self
            .known
            .iter()
            .filter(|(id, _)| !present.contains(id))
            .filter(|(_, known)| {
                looks
                    .iter()
                    .any(|look| self.covers(&look.member, &known.sighting))
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

    fn covers(&self, member: &Member, sighting: &Sighting) -> bool {
        let account = match (&member.account, &self.own) {
            (Some(account), _) | (None, Some(account)) => sighting.account == *account,
            (None, None) => !self.others.contains(&sighting.account),
        };
        account && sighting.region == member.region
    }
}

/// Events.
impl Ledger {
    fn hear(&mut self, told: Told, now: Timestamp, records: &mut Vec<Record>) {
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

    fn apply(
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
            &self.governance,
        );
        self.commit(found, Some(id), Source::Event(instance, at), now, records);
    }

    /// The held events of an instance, in order.
    fn release(&mut self, id: &InstanceId) -> Vec<Held> {
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

/// What becomes of a transition that was found.
impl Ledger {
    fn commit(
        &mut self,
        found: Transition,
        event: Option<String>,
        source: Source<'_>,
        now: Timestamp,
        records: &mut Vec<Record>,
    ) {
        let found = self.attribute(found);
        let id = found.instance.clone();
        let Some(known) = self.known.get_mut(&id) else {
            return;
        };
        let before = known.sighting.clone();
        known.advance(&found, source);
        let explained = is_explained(&found);
        let ended = found.to == InstanceState::Terminated;
        known.unexplained.push(Unexplained {
            before,
            transition: found,
            event,
            found: now,
        });
        if ended || (explained && known.unexplained.len() == 1) {
            self.settle(&id, records);
        }
    }

    /// Looks for the cause of what nothing explains yet, now that there is a look at the instance.
    fn explain(&mut self, instance: &Instance, now: Timestamp, records: &mut Vec<Record>) {
        let Some(known) = self.known.get_mut(&instance.id) else {
            return;
        };
        if known.unexplained.is_empty() {
            return;
        }
        let mut unexplained = std::mem::take(&mut known.unexplained);
        let mut previous: Option<Cause> = None;
        for one in &mut unexplained {
            if previous.is_some() {
                one.before.cause = previous;
            }
            if one.transition.evidence != Evidence::Inference {
                let transition = one.transition.clone();
                let transition = explained(transition, &one.before, instance, &self.governance);
                one.transition = self.attribute(transition);
            }
            previous = Some(one.transition.cause.clone());
        }
        let waited = |one: &Unexplained| now.duration_since(one.found) >= EXPLAINED_WITHIN;
        let enough = unexplained
            .iter()
            .all(|one| is_explained(&one.transition) || waited(one));
        if let Some(known) = self.known.get_mut(&instance.id) {
            known.sighting.cause = previous.or(known.sighting.cause.take());
            known.unexplained = unexplained;
        }
        if enough {
            self.settle(&instance.id, records);
        }
    }

    /// Writes the changes of an instance as they stand.
    fn settle(&mut self, id: &InstanceId, records: &mut Vec<Record>) {
        let Some(known) = self.known.get_mut(id) else {
            return;
        };
        let ended = known.sighting.state == InstanceState::Terminated;
        let sighting = (!ended).then(|| known.sighting.clone());
        records.extend(known.unexplained.drain(..).map(|one| Record {
            instance: id.clone(),
            transition: Some(one.transition),
            event: one.event,
            sighting: sighting.clone(),
        }));
        if ended {
            let held = self.release(id).into_iter().map(|held| held.event.id);
            self.finished.extend(held);
            self.known.remove(id);
        }
    }

    /// What could not be looked at for too long is written all the same.
    fn give_up(&mut self, now: Timestamp, records: &mut Vec<Record>) {
        let overdue = |known: &Known| {
            let first = known.unexplained.first();
            first.is_some_and(|one| now.duration_since(one.found) >= LOOKED_AT_WITHIN)
        };
        let ids = self.known.iter().filter(|(_, known)| overdue(known));
        let ids: Vec<InstanceId> = ids.map(|(id, _)| id.clone()).collect();
        for id in ids {
            self.settle(&id, records);
        }
    }

    /// What this process did itself, or else whom CloudTrail names.
    fn attribute(&self, found: Transition) -> Transition {
        let found = self.acts.explain(found);
        let fits = |call: &&Call| {
            let later = found.at.duration_since(call.at);
            let soon =
                -SignedDuration::from_secs(1) <= later && later <= SignedDuration::from_mins(1);
            soon && call.to.contains(&found.to) && call.instances.contains(&found.instance)
        };
        match self.calls.iter().find(fits) {
            Some(call) if found.cause == Cause::Outside => Transition {
                by: Some(call.by.clone()),
                ..found
            },
            _ => found,
        }
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

    fn schedule(&self, instance: &Instance) -> Option<curfew_core::schedule::ScheduleName> {
        let schedule = self.governance.schedule_for(instance).ok()?;
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

impl Known {
    fn new(sighting: Sighting) -> Self {
        Self {
            sighting,
            looked: None,
            noticed: None,
            unexplained: Vec::new(),
            held: Vec::new(),
        }
    }

    fn is_busy(&self) -> bool {
        let resting = matches!(
            self.sighting.state,
            InstanceState::Running | InstanceState::Stopped
        );
        !resting || self.noticed.is_some() || !self.unexplained.is_empty() || !self.held.is_empty()
    }

    fn agrees_with(&self, instance: &Instance) -> bool {
        self.sighting.state == instance.state && self.started_since(instance).is_none()
    }

    /// When the instance was started since it was last known, if it is known to have been.
    fn started_since(&self, instance: &Instance) -> Option<Timestamp> {
        let known = self.sighting.launched_at?;
        let was_running = direction(self.sighting.state) == Some(Action::Start);
        let is_stopped = direction(instance.state) == Some(Action::Stop);
        instance
            .launched_at
            .filter(|launched| *launched > known && (was_running || is_stopped))
    }

    fn place(&self, event: &Event, instance: Option<&Instance>) -> Place {
        let state = self.sighting.state;
        let known_until = self.sighting.since.map(whole_seconds).max(self.looked);
        if known_until.is_some_and(|until| event.at < until) {
            return Place::Past;
        }
        let missed = instance
            .and_then(|instance| self.started_since(instance))
            .is_some_and(|launched| {
                direction(state) == Some(Action::Start) && event.at >= whole_seconds(launched)
            });
        match (missed, event.state == state, follows(state, event.state)) {
            (false, true, _) => Place::Past,
            (false, false, true) => Place::Next,
            _ => Place::Later,
        }
    }

    fn has(&self, event: &str) -> bool {
        let unexplained = self.unexplained.iter();
        let mut unexplained = unexplained.filter_map(|one| one.event.as_deref());
        unexplained.any(|id| id == event) || self.held.iter().any(|held| held.event.id == event)
    }

    /// Takes out the held events that looks have overtaken.
    fn past(&mut self, may_decide: impl Fn(Timestamp) -> bool) -> Vec<String> {
        let looked = self.looked;
        let overtaken = |held: &mut Held| {
            may_decide(held.received) && looked.is_some_and(|looked| held.event.at < looked)
        };
        let past = self.held.extract_if(.., overtaken);
        past.map(|held| held.event.id).collect()
    }

    fn advance(&mut self, found: &Transition, source: Source<'_>) {
        let (instance, since) = match source {
            Source::Look(instance, at) => (Some(instance), at),
            Source::Event(instance, at) => (instance, at),
            Source::Between(at) => (None, at),
        };
        let sighting = &mut self.sighting;
        sighting.state = found.to;
        sighting.since = Some(since);
        sighting.cause = Some(found.cause.clone());
        sighting.name.clone_from(&found.name);
        sighting.schedule.clone_from(&found.schedule);
        sighting.instance_type.clone_from(&found.instance_type);
        let Some(instance) = instance else { return };
        let looked = matches!(source, Source::Look(..));
        // Events may be read long after they were sent: what came later is none of theirs.
        let launched = instance.launched_at;
        let by_then = launched.is_some_and(|launched| whole_seconds(launched) <= since);
        if looked || (by_then && direction(found.to) == Some(Action::Start)) {
            sighting.launched_at = launched;
        }
        let tag = instance.tags.get(LAST_TAG);
        let last = tag.and_then(|tag| tag.parse::<Last>().ok());
        let by_then = last.is_none_or(|last| last.at.duration_since(since) <= EARLY_WAKE_UP);
        if looked || by_then {
            sighting.last = tag.cloned();
        }
    }
}

fn is_explained(transition: &Transition) -> bool {
    transition.cause != Cause::Outside
        || transition.evidence == Evidence::Inference
        || direction(transition.to).is_none()
}

/// Whether EC2 takes an instance from one state to the other without another in between.
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
    }
}

/// The order of states within one second, which is all that events tell.
fn rank(state: InstanceState) -> u8 {
    match state {
        InstanceState::Pending => 0,
        InstanceState::Running => 1,
        InstanceState::Stopping => 2,
        InstanceState::Stopped => 3,
        InstanceState::ShuttingDown => 4,
        InstanceState::Terminated => 5,
    }
}

fn whole_seconds(at: Timestamp) -> Timestamp {
    let floor = jiff::TimestampRound::new()
        .smallest(Unit::Second)
        .mode(jiff::RoundMode::Floor);
    at.round(floor).unwrap_or(at)
}

#[cfg(test)]
mod tests;
