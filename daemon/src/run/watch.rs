//! Watching: sightings in, transitions out, to the log and the journal.

mod acts;
mod event;
mod eyes;
mod flow;
mod housekeeping;
mod ledger;
mod polling;
mod queue;
mod signals;
mod source;
mod watched;

use std::sync::Arc;

use curfew_aws::clock::Clock;
use curfew_core::transition::Transition;
use curfew_journal::{Blame, FollowedEdge, JournalError, Keeper, Record, Watch, Written};
use jiff::{SignedDuration, Timestamp};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use super::in_force::Current;
use crate::health::Pulse;

pub(super) use acts::Acts;
pub use event::{Call, Event, Message, Unreadable};
pub(super) use eyes::Eyes;
pub(super) use housekeeping::Housekeeping;
pub use ledger::Ledger;
pub(super) use polling::Mood;
pub use polling::{Polling, Tempo};
pub(super) use queue::{Acknowledging, Queue, Receipt};
pub use queue::{EventQueue, QueueAddress};
pub(super) use signals::{Signals, signals};
pub(super) use source::forward;
pub use source::{Look, Seen, Sightings, SourceError, Told};
pub(super) use watched::Watched;

use source::HANGS;

/// Sightings that may wait for the journal. Each is a whole fleet: a few, then the source waits, and nothing is dropped.
pub(super) const SIGHTINGS: usize = 4;

/// A ledger that waits for the events of a queue, if there is one. Whether it tells of anything, the last weeks have shown.
pub(super) fn listening(
    ledger: Ledger,
    keeper: &Keeper,
    events: Option<&EventQueue>,
    clock: &Clock,
) -> Ledger {
    /// A fleet whose instances never change their state for so long needs no events.
    const LATELY: SignedDuration = SignedDuration::from_hours(28 * 24);
    let Some(events) = events else { return ledger };
    let now = clock.now();
    let since = now.checked_sub(LATELY).unwrap_or(now);
    let heard = events.is_own() || keeper.heard_events_since(since);
    ledger.listening(events.region().clone(), heard, now)
}

/// What comes for the journal.
pub(super) struct Inbox {
    /// What the sources have seen.
    pub(super) sightings: mpsc::Receiver<Seen>,
    /// What became of edges.
    pub(super) edges: mpsc::UnboundedReceiver<Vec<FollowedEdge>>,
}

/// What the watch task hears.
pub(super) struct Incoming<'a> {
    /// What it is to write.
    pub(super) inbox: &'a mut Inbox,
    /// The configuration to judge it by.
    pub(super) current: Current,
}

/// Turns sightings into journal entries.
pub(super) struct Watcher {
    pub(super) ledger: Ledger,
    pub(super) keeper: Keeper,
    pub(super) clock: Clock,
    pub(super) watched: Watched,
    pub(super) signals: Signals,
    /// How long transitions are kept.
    pub(super) retention: SignedDuration,
    pub(super) housekeeping: Housekeeping,
    pub(super) pulse: Pulse,
}

impl Watcher {
    /// Watches until the shutdown; what has been seen by then is written.
    pub(super) async fn run(mut self, incoming: Incoming<'_>, shutdown: CancellationToken) {
        let Incoming { inbox, mut current } = incoming;
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                Ok(()) = current.changed() => {
                    let now = Arc::clone(&current.borrow_and_update());
                    self.watched.manage(&now.schedule_set);
                    self.ledger.manage(&now);
                    self.retention = now.retention;
                }
                Some(seen) = inbox.sightings.recv() => {
                    self.pulse.within(HANGS);
                    self = self.see(seen).await;
                    self.pulse.idle();
                    if self.is_writable() {
                        self.pulse.well();
                    }
                }
                Some(edges) = inbox.edges.recv() => self = self.follow(edges).await,
            }
            if !self.is_writable() {
                self.pulse
                    .trouble("the journal can't be written".to_owned());
            }
        }
        while let Ok(seen) = inbox.sightings.try_recv() {
            self = self.see(seen).await;
        }
        let rest = self.ledger.settle_all();
        self = self.write(rest, Vec::new()).await;
        // Who follows edges may still be at its last pass.
        while let Some(edges) = inbox.edges.recv().await {
            self = self.follow(edges).await;
        }
        if self.keeper.is_behind() {
            error!("records could not be written to the journal before the end");
        }
    }

    fn is_writable(&self) -> bool {
        *self.signals.writable.borrow()
    }

    async fn follow(mut self, edges: Vec<FollowedEdge>) -> Self {
        self.pulse.within(HANGS);
        self.keeper.follow(edges);
        self = self.write(Vec::new(), Vec::new()).await;
        self.pulse.idle();
        self
    }

    async fn see(mut self, mut seen: Seen) -> Self {
        let now = self.clock.now();
        self.watched.seen(&seen, now);
        let mut watches = Vec::new();
        match &mut seen {
            Seen::Everything(looks) => watches = self.ledger.watches(looks, now),
            Seen::Told(told) => self.forget_known(told),
        }
        let records = self.ledger.see(seen, now);
        let watches = self.housekeeping.due(watches);
        for event in self.ledger.finished() {
            self.acknowledge(event);
        }
        let mood = Mood {
            busy: self.ledger.is_busy(),
            told: self.ledger.is_told(now),
        };
        self.signals.mood.send_if_modified(|current| {
            let changed = *current != mood;
            *current = mood;
            changed
        });
        self.write(records, watches).await
    }

    /// Drops the events that the journal has already: a message is delivered again when its deletion was lost.
    fn forget_known(&mut self, told: &mut Told) {
        let ids: Vec<String> = told.events.iter().map(|event| event.id.clone()).collect();
        if ids.is_empty() {
            return;
        }
        let known = self.keeper.events(&ids);
        told.events.retain(|event| !known.contains(&event.id));
        if !self.keeper.is_behind() {
            for event in known {
                self.acknowledge(event);
            }
        }
    }

    fn acknowledge(&self, event: String) {
        // Nobody deletes any more at the end: what is not deleted comes again, and is known then.
        let _ = self.signals.receipts.send(Receipt::Finished { event });
    }

    /// Writes all records, or keeps them for the next time. People are told of what is new in the journal: once, then.
    async fn write(mut self, records: Vec<Record>, watches: Vec<Watch>) -> Self {
        let blames = self.ledger.blames();
        let pruned = self.housekeeping.is_time_to_prune(self.clock.now());
        let idle = records.is_empty() && watches.is_empty() && blames.is_empty() && !pruned;
        if idle && !self.keeper.is_behind() && !self.keeper.is_detached() {
            return self;
        }
        for transition in records
            .iter()
            .filter_map(|record| record.transition.as_ref())
        {
            log(transition);
        }
        let cutoff = self.clock.now().checked_sub(self.retention).ok();
        let cutoff = cutoff.filter(|_| pruned);
        let everything = self.ledger.everything();
        // A full disk may take its time to say so.
        let mut keeper = self.keeper;
        let work = move || {
            let mut written = write(&mut keeper, records, everything);
            let noted = note(&mut keeper, &watches, &blames, cutoff);
            written.trouble = written.trouble.or(noted.err());
            (keeper, written)
        };
        let (keeper, written) = tokio::task::spawn_blocking(work)
            .await
            .expect("writing the journal does not panic");
        self.keeper = keeper;
        let (waiting, now) = (self.keeper.waiting(), self.clock.now());
        self.watched.wrote(&written, waiting, now);
        self.watched.journalled(&written.entries);
        let writable = written.trouble.is_none();
        for event in written.events {
            self.acknowledge(event);
        }
        self.signals.writable.send_if_modified(|current| {
            let changed = *current != writable;
            *current = writable;
            changed
        });
        self
    }
}

/// Writes `records`; into a journal that begins anew, everything that is known first.
fn write(keeper: &mut Keeper, records: Vec<Record>, everything: Vec<Record>) -> Written {
    let mut written = keeper.write(records);
    if written.replaced.is_some() {
        let more = keeper.write(everything);
        written.trouble = more.trouble;
    }
    written
}

fn note(
    keeper: &mut Keeper,
    watches: &[Watch],
    blames: &[Blame],
    cutoff: Option<Timestamp>,
) -> Result<(), JournalError> {
    keeper.note(watches, blames)?;
    cutoff.map_or(Ok(()), |cutoff| keeper.prune(cutoff))
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
        evidence,
        by,
        instance_type: _,
    } = transition;
    let latency_seconds = edge.map(|edge| at.duration_since(edge).as_secs_f64());
    info!(
        %instance,
        name,
        %from,
        %to,
        %at,
        %cause,
        by,
        schedule = schedule.as_ref().map(ToString::to_string),
        %region,
        %account,
        latency_seconds,
        %evidence,
        "instance changed state"
    );
}
