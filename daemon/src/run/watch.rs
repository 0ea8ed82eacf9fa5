//! Watching: sightings in, transitions out, to the log and the journal.

mod acts;
mod event;
mod flow;
mod ledger;
mod polling;
mod queue;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use curfew_aws::clock::Clock;
use curfew_aws::error::CloudError;
use curfew_aws::organisation::MemberError;
use curfew_core::instance::{AccountId, Instance, Region};
use curfew_core::membership::Member;
use curfew_core::transition::Transition;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::backoff::Backoff;
use super::health::Pulse;
use super::in_force::Current;
use super::tidings::Watched;
use crate::journal::{Blame, Keeper, Record, Watch, Written};

pub(super) use acts::Acts;
pub use event::{Call, Event, Message, Unreadable};
pub use ledger::Ledger;
pub(super) use polling::Mood;
pub use polling::{Polling, Tempo};
pub(super) use queue::{Acknowledging, Queue, Receipt};
pub use queue::{EventQueue, QueueAddress};

/// Sightings that may wait for the journal. Each is a whole fleet: a few, then the source waits, and nothing is dropped.
pub(super) const SIGHTINGS: usize = 4;

/// What a source has seen.
#[derive(Clone, Debug)]
pub enum Seen {
    /// Every instance of these members: one of theirs that is missing is gone. Of a member that did not answer nothing is said.
    Everything(Vec<Look>),
    /// What events told: nothing is said of other instances.
    Told(Told),
}

/// All instances of one account and region.
#[derive(Clone, Debug)]
pub struct Look {
    /// Which.
    pub member: Member,
    /// When it was begun: what it found is no older.
    pub begun: Timestamp,
    /// Its instances.
    pub instances: Vec<Instance>,
}

/// What the queue of state changes told.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// What happened.
    pub events: Vec<Event>,
    /// Who made it happen.
    pub calls: Vec<Call>,
    /// The instances of the events as they were looked up since, as far as EC2 answered.
    pub instances: Vec<Instance>,
    /// Whether there was nothing more to receive.
    pub drained: bool,
}

/// A source of sightings: polling here, the queue of state changes beside it.
pub trait Sightings: Send {
    /// Waits until it is time to look.
    fn rest(&mut self) -> impl Future<Output = ()> + Send;

    /// Waits for the next sighting. Must be safe to drop half-way.
    fn next(&mut self) -> impl Future<Output = Result<Seen, SourceError>> + Send;
}

/// A source that does not answer.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// EC2, in some account and region.
    #[error(transparent)]
    Member(#[from] MemberError),
    /// The queue of state changes.
    #[error("the queue of state changes: {0}")]
    Queue(CloudError),
}

impl SourceError {
    /// What a person can do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::Member(error) => error.hint(),
            Self::Queue(error) => error.hint().to_owned(),
        }
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
        pulse.idle();
        if shutdown.run_until_cancelled(source.rest()).await.is_none() {
            return;
        }
        pulse.within(HANGS);
        let Some(next) = shutdown.run_until_cancelled(source.next()).await else {
            return;
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
                let waited = shutdown.run_until_cancelled(tokio::time::sleep(wait));
                if waited.await.is_none() {
                    return;
                }
            }
        }
    }
}

/// The watch task's ends of what it shares with the sources.
#[derive(Clone, Debug)]
pub(super) struct Signals {
    /// How polling is to go about it.
    mood: Arc<watch::Sender<Mood>>,
    /// Whether the journal takes what is received.
    writable: Arc<watch::Sender<bool>>,
    /// What becomes of messages.
    pub(super) receipts: mpsc::UnboundedSender<Receipt>,
}

/// The other ends.
pub(super) struct Listening {
    pub(super) mood: watch::Receiver<Mood>,
    pub(super) writable: watch::Receiver<bool>,
    pub(super) receipts: mpsc::UnboundedReceiver<Receipt>,
}

/// Both.
pub(super) fn signals() -> (Signals, Listening) {
    // Before the watch task has seen anything, something may well be under way.
    let (mood, how_to_poll) = watch::channel(Mood {
        busy: true,
        told: false,
    });
    let (writable, may_receive) = watch::channel(true);
    let (receipts, dealt_with) = mpsc::unbounded_channel();
    let signals = Signals {
        mood: Arc::new(mood),
        writable: Arc::new(writable),
        receipts,
    };
    let listening = Listening {
        mood: how_to_poll,
        writable: may_receive,
        receipts: dealt_with,
    };
    (signals, listening)
}

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

/// What the watch task hears.
pub(super) struct Incoming<'a> {
    /// What the sources have seen.
    pub(super) sightings: &'a mut mpsc::Receiver<Seen>,
    /// The settings to judge it by.
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

/// What is done now and then, beside the stream.
#[derive(Debug, Default)]
pub(super) struct Housekeeping {
    /// When the journal last noted a look at each place.
    noted: HashMap<(AccountId, Region), Timestamp>,
    pruned: Option<Timestamp>,
}

impl Housekeeping {
    /// A look is noted once a minute: after a kill -9, so much of the watching is not known to have been.
    const NOTED: SignedDuration = SignedDuration::from_mins(1);
    /// Old transitions are removed once a day.
    const PRUNED: SignedDuration = SignedDuration::from_hours(24);

    fn due(&mut self, watches: Vec<Watch>) -> Vec<Watch> {
        let mut due = Vec::new();
        for watch in watches {
            let place = (watch.account.clone(), watch.region.clone());
            let noted = self.noted.get(&place);
            // A clock that was set back is no reason to wait for it.
            if noted.is_none_or(|noted| watch.at.duration_since(*noted).abs() >= Self::NOTED) {
                self.noted.insert(place, watch.at);
                due.push(watch);
            }
        }
        due
    }

    fn is_time_to_prune(&mut self, now: Timestamp) -> bool {
        let due = self
            .pruned
            .is_none_or(|pruned| now.duration_since(pruned) >= Self::PRUNED);
        if due {
            self.pruned = Some(now);
        }
        due
    }
}

impl Watcher {
    /// Watches until the shutdown; what has been seen by then is written.
    pub(super) async fn run(mut self, incoming: Incoming<'_>, shutdown: CancellationToken) {
        let Incoming {
            sightings,
            mut current,
        } = incoming;
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                Ok(()) = current.changed() => {
                    let now = Arc::clone(&current.borrow_and_update());
                    self.watched.govern(&now.governance);
                    self.ledger.govern(&now);
                    self.retention = now.retention;
                }
                Some(seen) = sightings.recv() => {
                    self.pulse.within(HANGS);
                    self = self.see(seen).await;
                    self.pulse.idle();
                    if self.keeper.is_behind() {
                        self.pulse.trouble("the journal can't be written".to_owned());
                    } else {
                        self.pulse.well();
                    }
                }
            }
        }
        while let Ok(seen) = sightings.try_recv() {
            self = self.see(seen).await;
        }
        let rest = self.ledger.settle_all();
        self = self.write(rest, Vec::new()).await;
        if self.keeper.is_behind() {
            error!("records could not be written to the journal before the end");
        }
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
        if idle && !self.keeper.is_behind() {
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
            let written = write(&mut keeper, records, everything);
            note(&mut keeper, &watches, &blames, cutoff);
            (keeper, written)
        };
        let (keeper, written) = tokio::task::spawn_blocking(work)
            .await
            .expect("writing the journal does not panic");
        self.keeper = keeper;
        self.watched.journalled(&written.entries);
        for event in written.events {
            self.acknowledge(event);
        }
        let writable = written.trouble.is_none();
        self.watched.wrote(writable);
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
    if written.begun_anew {
        let more = keeper.write(everything);
        written.trouble = more.trouble;
    }
    written
}

fn note(keeper: &mut Keeper, watches: &[Watch], blames: &[Blame], cutoff: Option<Timestamp>) {
    keeper.note(watches, blames);
    if let Some(cutoff) = cutoff {
        keeper.prune(cutoff);
    }
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
