//! Watching: sightings in, transitions out, to the log and the journal.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use curfew_aws::clock::Clock;
use curfew_aws::execute::Deadline;
use curfew_aws::fleet::Scope;
use curfew_aws::organisation::{MemberError, Organisation};
use curfew_core::govern::Governance;
use curfew_core::instance::{AccountId, Instance, InstanceId};
use curfew_core::membership::Member;
use curfew_core::memory::Cause;
use curfew_core::transition::{Sighting, Transition, disappearance, transition};
use jiff::Timestamp;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::backoff::Backoff;
use super::health::Pulse;
use super::in_force::{Current, InForce};
use super::tidings::Watched;
use crate::journal::{Journal, Record};

/// Sightings that may wait for the journal. Each is a whole fleet: a few, then the source waits, and nothing is dropped.
pub(super) const SIGHTINGS: usize = 4;

/// What a source has seen.
#[derive(Clone, Debug)]
pub enum Seen {
    /// Every instance of these members: one of theirs that is missing is gone. Of a member that did not answer nothing is said.
    Everything(Vec<Look>),
    /// Some instances, as after a state-change event: nothing is said of the others.
    Some(Vec<Instance>),
}

/// All instances of one account and region.
#[derive(Clone, Debug)]
pub struct Look {
    /// Which.
    pub member: Member,
    /// Its instances.
    pub instances: Vec<Instance>,
}

/// A source of sightings: polling here, the queue of state changes beside it.
pub trait Sightings: Send {
    /// Waits for the next sighting. Must be safe to drop half-way.
    fn next(&mut self) -> impl Future<Output = Result<Seen, MemberError>> + Send;
}

/// Looks everything up again and again, and at once when nudged.
#[derive(Debug)]
pub struct Polling {
    organisation: Organisation,
    every: Duration,
    nudge: Arc<Notify>,
    begun: bool,
    /// Who did not answer last time: it is said once.
    silent: HashSet<Member>,
}

impl Polling {
    /// Polls every member; the first look is at once.
    pub fn new(organisation: Organisation, every: Duration, nudge: Arc<Notify>) -> Self {
        Self {
            organisation,
            every,
            nudge,
            begun: false,
            silent: HashSet::new(),
        }
    }

    fn tell(&mut self, failures: &[MemberError]) {
        for error in failures {
            if self.silent.insert(error.member.clone()) {
                warn!(%error, hint = error.hint(), "instances can't be watched");
            }
        }
        self.silent.retain(|member| {
            let still = failures.iter().any(|error| error.member == *member);
            if !still {
                info!(%member, "instances can be watched again");
            }
            still
        });
    }
}

impl Sightings for Polling {
    async fn next(&mut self) -> Result<Seen, MemberError> {
        if self.begun {
            tokio::select! {
                () = tokio::time::sleep(self.every) => {}
                () = self.nudge.notified() => {}
            }
        }
        self.begun = true;
        let mut survey = self.organisation.observe(&Scope::All, Deadline::NONE).await;
        if survey.answers.is_empty() && !survey.failures.is_empty() {
            return Err(survey.failures.swap_remove(0));
        }
        self.tell(&survey.failures);
        let looks = survey.answers.into_iter().map(|(one, instances)| Look {
            member: one.member,
            instances,
        });
        Ok(Seen::Everything(looks.collect()))
    }
}

/// A look, or what is written of it, is over by then, or hangs: a hundred thousand instances take a few minutes when EC2 is slow.
const HANGS: Duration = Duration::from_mins(15);

/// Hands what `source` sees to the watch task until the shutdown.
pub(super) async fn forward(
    mut source: impl Sightings,
    seen: mpsc::Sender<Seen>,
    pulse: &Pulse,
    shutdown: CancellationToken,
) {
    let mut backoff = Backoff::default();
    loop {
        pulse.within(HANGS);
        let next = tokio::select! {
            () = shutdown.cancelled() => return,
            next = source.next() => next,
        };
        match next {
            Ok(sighting) => {
                if backoff.after_success() {
                    info!("instances can be watched again");
                }
                if seen.send(sighting).await.is_err() {
                    return;
                }
                pulse.well();
            }
            Err(error) => {
                let wait = backoff.after_failure();
                let (failures, retry_seconds) = (backoff.failures(), wait.as_secs());
                warn!(%error, hint = error.hint(), failures, retry_seconds, "instances can't be watched");
                tokio::select! {
                    () = shutdown.cancelled() => return,
                    () = tokio::time::sleep(wait) => {}
                }
            }
        }
    }
}

/// What the watch task hears.
pub(super) struct Incoming<'a> {
    /// What the sources have seen.
    pub(super) sightings: &'a mut mpsc::Receiver<Seen>,
    /// The settings to judge it by.
    pub(super) current: Current,
}

/// Turns sightings into journal entries until the shutdown; what has been seen by then is written.
pub(super) async fn keep(
    mut ledger: Ledger,
    mut journal: Journal,
    clock: Clock,
    mut watched: Watched,
    Incoming {
        sightings,
        mut current,
    }: Incoming<'_>,
    pulse: &Pulse,
    shutdown: CancellationToken,
) {
    let mut unwritten: Vec<Record> = Vec::new();
    loop {
        tokio::select! {
            () = shutdown.cancelled() => break,
            Ok(()) = current.changed() => {
                let now = Arc::clone(&current.borrow_and_update());
                watched.govern(&now.governance);
                ledger.govern(&now);
            }
            Some(seen) = sightings.recv() => {
                watched.seen(&seen, clock.now());
                unwritten.extend(ledger.see(seen, clock.now()));
            }
        }
        pulse.within(HANGS);
        (journal, unwritten) = write(journal, unwritten, &watched).await;
        pulse.idle();
        if unwritten.is_empty() {
            pulse.well();
        } else {
            pulse.trouble("the journal can't be written".to_owned());
        }
    }
    while let Ok(seen) = sightings.try_recv() {
        watched.seen(&seen, clock.now());
        unwritten.extend(ledger.see(seen, clock.now()));
    }
    unwritten.extend(ledger.settle_all());
    let (_, lost) = write(journal, unwritten, &watched).await;
    if !lost.is_empty() {
        error!(
            records = lost.len(),
            "records could not be written to the journal before the end"
        );
    }
}

/// Writes all records, or keeps them all for the next time. People are told of what is new in the journal: once, then.
async fn write(
    mut journal: Journal,
    records: Vec<Record>,
    watched: &Watched,
) -> (Journal, Vec<Record>) {
    if records.is_empty() {
        return (journal, records);
    }
    for transition in records
        .iter()
        .filter_map(|record| record.transition.as_ref())
    {
        log(transition);
    }
    // A full disk may take its time to say so.
    let written = tokio::task::spawn_blocking(move || {
        let result = journal.record(&records);
        (journal, records, result)
    });
    let (journal, mut records, result) = written.await.expect("writing the journal does not panic");
    match result {
        Ok(entries) => {
            records.clear();
            watched.journalled(&entries);
        }
        Err(error) => {
            let source = std::error::Error::source(&error).map(ToString::to_string);
            error!(%error, source, waiting = records.len(), "the journal can't be written; its records wait in memory");
        }
    }
    (journal, records)
}

fn log(transition: &Transition) {
    let Transition {
        instance,
        name,
        from,
        to,
        at,
        cause,
        schedule,
        region,
        account,
        edge,
    } = transition;
    let latency_seconds = edge.map(|edge| at.duration_since(edge).as_secs_f64());
    info!(
        %instance,
        name,
        %from,
        %to,
        %at,
        %cause,
        schedule = schedule.as_ref().map(ToString::to_string),
        %region,
        %account,
        latency_seconds,
        "instance changed state"
    );
}

/// What is known of every instance, and what a new sighting means beside it.
#[derive(Debug)]
pub struct Ledger {
    known: HashMap<InstanceId, Sighting>,
    /// Changes that nothing explains yet. Curfew's tag is written after the call that it explains, so a look in between sees
    /// the change first: it is judged at the next look.
    unexplained: HashMap<InstanceId, Transition>,
    governance: Arc<Governance>,
    /// The other accounts: what is not theirs is the own account's.
    others: HashSet<AccountId>,
    /// The own account, once one of its instances was seen.
    own: Option<AccountId>,
}

impl Ledger {
    /// Goes on from what the journal knows: what changed while nobody watched is found at the first look.
    pub(super) fn new(known: HashMap<InstanceId, Sighting>, now: &InForce) -> Self {
        let mut ledger = Self {
            known,
            unexplained: HashMap::new(),
            governance: Arc::clone(&now.governance),
            others: HashSet::new(),
            own: None,
        };
        ledger.govern(now);
        ledger
    }

    /// Goes by other settings from now on.
    pub(super) fn govern(&mut self, now: &InForce) {
        self.governance = Arc::clone(&now.governance);
        let members = now.organisation.members().iter();
        self.others = members
            .filter_map(|one| one.member.account.clone())
            .collect();
    }

    /// What a sighting at `now` adds to the journal.
    pub fn see(&mut self, seen: Seen, now: Timestamp) -> Vec<Record> {
        let mut records = Vec::new();
        match seen {
            Seen::Some(instances) => {
                for instance in &instances {
                    self.see_one(instance, now, &mut records);
                }
            }
            Seen::Everything(looks) => {
                for look in &looks {
                    for instance in &look.instances {
                        self.see_one(instance, now, &mut records);
                    }
                    if look.member.account.is_none() {
                        let owner = look.instances.first().map(|one| one.account.clone());
                        self.own = owner.or(self.own.take());
                    }
                }
                self.miss(&looks, now, &mut records);
            }
        }
        records
    }

    /// Explains what is unexplained as it stands.
    pub fn settle_all(&mut self) -> Vec<Record> {
        let unexplained: Vec<Transition> = self
            .unexplained
            .drain()
            .map(|(_, transition)| transition)
            .collect();
        unexplained
            .into_iter()
            .map(|transition| self.settle_as_it_is(transition))
            .collect()
    }

    fn see_one(&mut self, instance: &Instance, now: Timestamp, records: &mut Vec<Record>) {
        let waiting = self.unexplained.remove(&instance.id);
        if let Some(waiting) = waiting
            .clone()
            .filter(|waiting| waiting.to != instance.state)
        {
            records.push(self.settle_as_it_is(waiting));
        }
        let Some(before) = self.known.get(&instance.id) else {
            records.push(self.know(instance, None, None));
            return;
        };
        match transition(before, instance, &self.governance, now) {
            Some(found) => {
                let second_look = waiting.filter(|waiting| waiting.to == instance.state);
                if found.cause == Cause::Outside && second_look.is_none() {
                    self.unexplained.insert(instance.id.clone(), found);
                } else {
                    let at = second_look.map_or(found.at, |first| first.at);
                    let cause = Some(found.cause.clone());
                    records.push(self.know(instance, Some(Transition { at, ..found }), cause));
                }
            }
            None => {
                let cause = before.cause.clone();
                if *before != Sighting::of(instance, cause.clone()) {
                    records.push(self.know(instance, None, cause));
                }
            }
        }
    }

    /// An instance that two complete looks in a row at its account and region do not list is gone.
    fn miss(&mut self, looks: &[Look], now: Timestamp, records: &mut Vec<Record>) {
        let instances = looks.iter().flat_map(|look| &look.instances);
        let present: HashSet<&InstanceId> = instances.map(|instance| &instance.id).collect();
        let missing: Vec<InstanceId> = self
            .known
            .iter()
            .filter(|(id, _)| !present.contains(id))
            .filter(|(_, sighting)| looks.iter().any(|look| self.covers(&look.member, sighting)))
            .map(|(id, _)| id.clone())
            .collect();
        for id in missing {
            let gone = disappearance(&id, &self.known[&id], now);
            match self.unexplained.remove(&id) {
                Some(first) if first.to == gone.to => {
                    self.known.remove(&id);
                    records.push(Record {
                        instance: id,
                        transition: Some(first),
                        sighting: None,
                    });
                }
                other => {
                    records.extend(other.map(|other| self.settle_as_it_is(other)));
                    let gone = disappearance(&id, &self.known[&id], now);
                    self.unexplained.insert(id, gone);
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

    fn know(
        &mut self,
        instance: &Instance,
        transition: Option<Transition>,
        cause: Option<Cause>,
    ) -> Record {
        let sighting = Sighting::of(instance, cause);
        self.known.insert(instance.id.clone(), sighting.clone());
        Record {
            instance: instance.id.clone(),
            transition,
            sighting: Some(sighting),
        }
    }

    fn settle_as_it_is(&mut self, transition: Transition) -> Record {
        let id = transition.instance.clone();
        let sighting = self.known.get_mut(&id).map(|known| {
            known.state = transition.to;
            known.cause = Some(transition.cause.clone());
            known.clone()
        });
        Record {
            instance: id,
            transition: Some(transition),
            sighting,
        }
    }
}
