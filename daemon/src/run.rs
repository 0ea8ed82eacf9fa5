//! `curfew run`: one process, tasks with one owner each, joined by a token and a tracker.
//!
//! ```text
//!  SIGHUP, files ──▶ reload ──▶ configuration in force, which every task reads anew
//!
//! alarm, jolts ──▶ reconcile ──▶ EC2     alarm: wakes a pass at the next edge; jolts: when time made a jump
//!        ▲           │ next edge         reconcile: makes the passes, or checks that the cloud made them
//!        └───────────┤
//!                    ▼ nudge
//!          polling, queue ──▶ watch ──▶ journal, log
//!                               └──▶ acknowledge ──▶ queue
//!
//!  reconcile ──▶ watch: what became of each edge, for the journal
//!  dead letters: counts what stands in the stack's queues of dead letters
//!  reconcile, watch, dead letters ──▶ notify: one task for each destination
//!  all ──▶ health ──▶ herald ──▶ systemd
//! ```
//!
//! Triggers carry no decision: every pass looks at EC2 afresh. So a task that dies is simply started again.

mod alarm;
mod audit;
mod dead_letters;
#[cfg(test)]
mod fixture;
mod herald;
mod in_force;
mod jolt;
mod reconcile;
mod reload;
mod rules;
mod sqs;
mod supervise;
mod tidings;
mod trigger;
mod watch;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use curfew_aws::clock::Clock;
use curfew_aws::organisation::Organisation;
use curfew_config::{DaemonConfiguration, Driver};
use curfew_core::schedule_set::ScheduleSet;
use curfew_journal::{FollowedEdge, JournalError, Keeper};
use tokio::sync::{Mutex, mpsc, watch as latest};
use tokio_util::sync::CancellationToken;
use tracing::info;

use self::alarm::Alarm;
use self::dead_letters::DeadLetters;
use self::herald::Herald;
use self::in_force::Current;
use self::jolt::Jolts;
use self::reload::Reloading;
use self::supervise::Tasks;
use crate::health::Health;
use crate::metrics::{self, Metrics};
use crate::notify::{Delivery, Notification, Notifier};
use crate::systemd::ServiceManager;

pub use alarm::AlarmError;
pub use dead_letters::DeadLetterQueues;
pub use in_force::InForce;
pub use jolt::{Stopwatch, Uptime};
pub use reload::Reload;
pub use rules::RuleKeeper;
pub use trigger::Triggers;
pub use watch::{
    Call, Event, EventQueue, Ledger, Look, Message, Polling, QueueAddress, Seen, Sightings,
    SourceError, Tempo, Told, Unreadable,
};

/// What the daemon runs on, besides its configuration: everything that touches the outside.
#[derive(Debug)]
pub struct Ports {
    /// The time.
    pub clock: Clock,
    /// The time since the boot.
    pub stopwatch: Stopwatch,
    /// The instances of every managed account and region.
    pub organisation: Organisation,
    /// The directory of the journal, where transitions are kept.
    pub state_dir: PathBuf,
    /// Where EC2's state changes are read, if anywhere.
    pub events: Option<EventQueue>,
    /// Who registers the rules that wake the cloud; nobody, where the daemon makes the passes itself.
    pub rules: Option<RuleKeeper>,
    /// Asks the cloud once more for what it did not do in time; nobody, where the daemon makes the passes itself.
    pub triggers: Option<Triggers>,
    /// The stack's queues of dead letters; none, where the daemon makes the passes itself.
    pub dead_letters: Option<DeadLetterQueues>,
    /// Takes what people are to be told.
    pub notifier: Notifier,
    /// Bring it to them.
    pub deliveries: Vec<Delivery>,
    /// Who started the daemon and wants to know how it is.
    pub manager: ServiceManager,
    /// How to read the configuration again, where they may change.
    pub reload: Option<Reload>,
    /// How it is: for whoever else asks.
    pub health: Health,
    /// What is counted.
    pub metrics: Metrics,
    /// Where that is told, over HTTP.
    pub listen: Option<SocketAddr>,
}

impl Ports {
    /// A daemon that nobody waits for, that tells nobody anything and whose configuration stays.
    pub fn quiet(clock: Clock, organisation: Organisation, state_dir: PathBuf) -> Self {
        Self {
            clock,
            stopwatch: Stopwatch::system(),
            organisation,
            state_dir,
            events: None,
            rules: None,
            triggers: None,
            dead_letters: None,
            notifier: Notifier::silent(),
            deliveries: Vec::new(),
            manager: ServiceManager::absent(),
            reload: None,
            health: Health::default(),
            metrics: Metrics::default(),
            listen: None,
        }
    }
}

/// A daemon that can't go on.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The journal can't be read at the start.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The alarm clock can't be set up.
    #[error(transparent)]
    Alarm(#[from] AlarmError),
    /// Tasks were still at something when the time to finish it was over.
    #[error("the daemon ended without `{tasks}`, which did not finish in 50 s")]
    NotFinished {
        /// Their names.
        tasks: String,
    },
}

/// Runs until `shutdown` is cancelled, then lets every task finish what it is at.
pub async fn run(
    configuration: &DaemonConfiguration,
    schedule_set: Arc<ScheduleSet>,
    ports: Ports,
    shutdown: CancellationToken,
) -> Result<(), RunError> {
    let Ports {
        clock,
        stopwatch,
        organisation,
        state_dir,
        events,
        rules,
        triggers,
        dead_letters,
        notifier,
        deliveries,
        manager,
        reload,
        health,
        metrics,
        listen,
    } = ports;
    // What waiting can't mend is for whoever starts the daemon, and not for the log.
    if let Some(replaced) = Keeper::open(&state_dir)?.take_replaced() {
        notifier.tell(&Notification::journal_replaced(&replaced, clock.now()));
    }
    let scheduler = alarm::Scheduler::start().await?;
    let (driver, manager) = (configuration.driver, Arc::new(manager));
    let keeps_rules = rules.is_some();
    let (in_force, current) = in_force::begin(configuration, schedule_set, organisation, rules);
    health.configuration(1, None);
    metrics.configuration(1, false);
    info!(
        ?driver,
        poll_seconds = configuration.poll.as_secs(),
        "curfew runs"
    );

    let witnesses = supervise::Witnesses {
        health: health.clone(),
        metrics: metrics.clone(),
        notifier: notifier.bystander(),
        clock: clock.clone(),
    };
    let tasks = Tasks::new(shutdown.clone(), witnesses);
    let (seen, sightings) = mpsc::channel(watch::SIGHTINGS);
    let making = Making {
        clock: clock.clone(),
        current,
        shutdown,
        eyes: watch::Eyes::new(seen.clone()),
        acts: watch::Acts::default(),
        scheduler: scheduler.clone(),
        health: health.clone(),
        metrics: metrics.clone(),
    };
    let (followed, edges) = mpsc::unbounded_channel();
    let (signals, listening) = watch::signals();
    making.reconcile(
        &tasks,
        driver,
        stopwatch,
        triggers,
        notifier.clone(),
        followed,
    );
    if let Some(events) = events.clone() {
        making.queue(&tasks, events, seen.clone(), &signals, listening.writable);
    }
    making.polling(&tasks, seen, listening.mood);
    making.acknowledge(&tasks, events.clone(), listening.receipts);
    if let Some(queues) = dead_letters {
        making.dead_letters(&tasks, queues, notifier.clone());
    }
    let desk = Desk {
        state_dir,
        events,
        notifier,
        metrics: metrics.clone(),
        signals,
    };
    making.watch(&tasks, desk, watch::Inbox { sightings, edges });
    if keeps_rules {
        making.rules(&tasks);
    }
    making.deliver(&tasks, deliveries);
    let announced = CancellationToken::new();
    if let Some(reload) = reload {
        let (health, manager) = (health.clone(), Arc::clone(&manager));
        let (metrics, announced) = (metrics.clone(), announced.clone());
        let reloading = Reloading::new(reload, in_force, health, metrics, manager, announced);
        making.reload(&tasks, reloading);
    }
    if let Some(address) = listen {
        making.metrics(&tasks, address);
    }
    making.herald(&tasks, &manager, &announced);
    // The tasks have their own: deliveries end when everybody is gone who could tell them anything.
    drop(making);
    let joined = tasks.join(&manager).await;
    scheduler.shut_down().await;
    joined
}

/// What most tasks are made with.
struct Making {
    clock: Clock,
    current: Current,
    shutdown: CancellationToken,
    /// What passes see, for polling to leave out.
    eyes: watch::Eyes,
    /// What reconcile has done, for watch to explain what it sees.
    acts: watch::Acts,
    /// Wakes reconcile at the next edge, in each of its lives.
    scheduler: alarm::Scheduler,
    health: Health,
    metrics: Metrics,
}

/// What the watch task works with.
struct Desk {
    state_dir: PathBuf,
    events: Option<EventQueue>,
    notifier: Notifier,
    metrics: Metrics,
    signals: watch::Signals,
}

impl Making {
    fn deliver(&self, tasks: &Tasks, deliveries: Vec<Delivery>) {
        for delivery in deliveries {
            let name = format!("notify {}", delivery.destination());
            let shutdown = self.shutdown.clone();
            tasks.keep(name, None, move |_| {
                let running = delivery.clone().run(shutdown.clone());
                async move {
                    running.await;
                    Ok(())
                }
            });
        }
    }

    fn reconcile(
        &self,
        tasks: &Tasks,
        driver: Driver,
        stopwatch: Stopwatch,
        triggers: Option<Triggers>,
        notifier: Notifier,
        followed: mpsc::UnboundedSender<Vec<FollowedEdge>>,
    ) {
        let (clock, current) = (self.clock.clone(), self.current.clone());
        let (shutdown, eyes) = (self.shutdown.clone(), self.eyes.clone());
        let (acts, scheduler) = (self.acts.clone(), self.scheduler.clone());
        let (health, metrics) = (self.health.clone(), self.metrics.clone());
        let missing = Some("no pass has been made yet");
        tasks.keep("reconcile", missing, move |pulse| {
            let (clock, current) = (clock.clone(), current.clone());
            let (shutdown, eyes) = (shutdown.clone(), eyes.clone());
            let (notifier, health, metrics) = (notifier.clone(), health.clone(), metrics.clone());
            let (acts, followed) = (acts.clone(), followed.clone());
            let triggers = triggers.clone();
            let (scheduler, jolts) = (scheduler.clone(), Jolts::new(&clock, stopwatch.clone()));
            async move {
                let (wake, trigger_reasons) = mpsc::channel(reconcile::TRIGGER_REASONS);
                let reconcile = reconcile::Reconcile {
                    alarm: Alarm::new(&scheduler, wake, clock.clone()),
                    driver,
                    current,
                    clock,
                    jolts,
                    notifier,
                    eyes,
                    acts,
                    triggers,
                    regions: BTreeMap::new(),
                    places: reconcile::Places::default(),
                    followed,
                    metrics,
                    health,
                    pulse,
                };
                reconcile.run(trigger_reasons, shutdown).await;
                Ok(())
            }
        });
    }

    fn polling(
        &self,
        tasks: &Tasks,
        seen: mpsc::Sender<Seen>,
        mood: latest::Receiver<watch::Mood>,
    ) {
        let (current, shutdown) = (self.current.clone(), self.shutdown.clone());
        let (clock, eyes) = (self.clock.clone(), self.eyes.clone());
        tasks.keep("polling", None, move |pulse| {
            let (mut current, shutdown) = (current.clone(), shutdown.clone());
            let (clock, eyes) = (clock.clone(), eyes.clone());
            let (mood, seen) = (mood.clone(), seen.clone());
            async move {
                while !shutdown.is_cancelled() {
                    let now = Arc::clone(&current.borrow_and_update());
                    let polling = Polling::new(&now, clock.clone(), eyes.clone(), mood.clone());
                    tokio::select! {
                        () = watch::forward(polling, seen.clone(), &pulse, shutdown.clone()) => break,
                        // A look that is broken off is made at once.
                        Ok(()) = current.changed() => {}
                    }
                }
                Ok(())
            }
        });
    }

    fn queue(
        &self,
        tasks: &Tasks,
        events: EventQueue,
        seen: mpsc::Sender<Seen>,
        signals: &watch::Signals,
        writable: latest::Receiver<bool>,
    ) {
        let (current, shutdown) = (self.current.clone(), self.shutdown.clone());
        let receipts = signals.receipts.clone();
        tasks.keep("queue", None, move |pulse| {
            // Its own region is the connection's, which only a restart changes.
            let organisation = current.borrow().organisation.clone();
            let (writable, receipts) = (writable.clone(), receipts.clone());
            let queue = watch::Queue::new(events.clone(), &organisation, writable, receipts);
            let (seen, shutdown) = (seen.clone(), shutdown.clone());
            async move {
                watch::forward(queue, seen, &pulse, shutdown).await;
                Ok(())
            }
        });
    }

    fn acknowledge(
        &self,
        tasks: &Tasks,
        events: Option<EventQueue>,
        receipts: mpsc::UnboundedReceiver<watch::Receipt>,
    ) {
        let Some(events) = events else { return };
        let shutdown = self.shutdown.clone();
        // It outlives the task, and with it what is still to be deleted.
        let acknowledging = Arc::new(Mutex::new(watch::Acknowledging::new(events, receipts)));
        tasks.keep("acknowledge", None, move |_| {
            let acknowledging = Arc::clone(&acknowledging);
            let shutdown = shutdown.clone();
            async move {
                acknowledging.lock().await.run().await;
                // Nobody has anything more to be deleted: that is at the end.
                shutdown.cancelled().await;
                Ok(())
            }
        });
    }

    fn watch(&self, tasks: &Tasks, desk: Desk, inbox: watch::Inbox) {
        let (clock, current) = (self.clock.clone(), self.current.clone());
        let (shutdown, acts) = (self.shutdown.clone(), self.acts.clone());
        // It outlives the task, and with it what has been seen and is not written yet.
        let inbox = Arc::new(Mutex::new(inbox));
        let desk = Arc::new(desk);
        let missing = Some("nothing has been seen yet");
        tasks.keep("watch", missing, move |pulse| {
            let (clock, mut current) = (clock.clone(), current.clone());
            let (acts, desk) = (acts.clone(), Arc::clone(&desk));
            let (inbox, shutdown) = (Arc::clone(&inbox), shutdown.clone());
            async move {
                let mut inbox = inbox.lock().await;
                let keeper = Keeper::open(&desk.state_dir)?;
                let now = Arc::clone(&current.borrow_and_update());
                let ledger = Ledger::new(keeper.sightings(), &now).beside(acts);
                let ledger = watch::listening(ledger, &keeper, desk.events.as_ref(), &clock);
                let schedule_set = Arc::clone(&now.schedule_set);
                let (notifier, metrics) = (desk.notifier.clone(), desk.metrics.clone());
                let watcher = watch::Watcher {
                    ledger,
                    keeper,
                    clock,
                    watched: watch::Watched::new(notifier, metrics, schedule_set),
                    signals: desk.signals.clone(),
                    retention: now.retention,
                    housekeeping: watch::Housekeeping::default(),
                    pulse,
                };
                let incoming = watch::Incoming {
                    inbox: &mut inbox,
                    current,
                };
                watcher.run(incoming, shutdown).await;
                Ok(())
            }
        });
    }

    fn dead_letters(&self, tasks: &Tasks, queues: DeadLetterQueues, notifier: Notifier) {
        let (clock, metrics) = (self.clock.clone(), self.metrics.clone());
        let shutdown = self.shutdown.clone();
        // It outlives the task, and with it what people have been told.
        let letters = DeadLetters::new(queues, clock, notifier, metrics);
        let letters = Arc::new(Mutex::new(letters));
        tasks.keep("dead-letters", None, move |_| {
            let (letters, shutdown) = (Arc::clone(&letters), shutdown.clone());
            async move {
                letters.lock().await.run(&shutdown).await;
                Ok(())
            }
        });
    }

    fn rules(&self, tasks: &Tasks) {
        let (clock, current) = (self.clock.clone(), self.current.clone());
        let shutdown = self.shutdown.clone();
        let missing = Some("the trigger rules have not been registered yet");
        tasks.keep("rules", missing, move |pulse| {
            let (clock, mut current) = (clock.clone(), current.clone());
            let shutdown = shutdown.clone();
            async move {
                while !shutdown.is_cancelled() {
                    let rules = current.borrow_and_update().rules.clone();
                    let Some(rules) = rules else { break };
                    tokio::select! {
                        () = rules.keep(clock.clone(), &pulse, shutdown.clone()) => break,
                        // Whatever was half published is published anew.
                        Ok(()) = current.changed() => {}
                    }
                }
                Ok(())
            }
        });
    }

    fn reload(&self, tasks: &Tasks, reloading: Reloading) {
        let shutdown = self.shutdown.clone();
        // It outlives the task, and with it which configuration is in force.
        let reloading = Arc::new(Mutex::new(reloading));
        tasks.keep("reload", None, move |pulse| {
            let (reloading, shutdown) = (Arc::clone(&reloading), shutdown.clone());
            async move {
                reloading.lock().await.run(pulse, shutdown).await;
                Ok(())
            }
        });
    }

    fn metrics(&self, tasks: &Tasks, address: SocketAddr) {
        let shutdown = self.shutdown.clone();
        let (metrics, health) = (self.metrics.clone(), self.health.clone());
        tasks.keep("metrics", None, move |_| {
            let serving =
                metrics::serve(address, metrics.clone(), health.clone(), shutdown.clone());
            async move {
                serving.await;
                Ok(())
            }
        });
    }

    fn herald(&self, tasks: &Tasks, manager: &Arc<ServiceManager>, announced: &CancellationToken) {
        let shutdown = self.shutdown.clone();
        let (manager, health) = (Arc::clone(manager), self.health.clone());
        let announced = announced.clone();
        tasks.keep("herald", None, move |pulse| {
            let herald = Herald {
                manager: Arc::clone(&manager),
                health: health.clone(),
                announced: announced.clone(),
            };
            let shutdown = shutdown.clone();
            async move {
                herald.run(pulse, shutdown).await;
                Ok(())
            }
        });
    }
}
