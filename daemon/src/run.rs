//! `curfew run`: one process, tasks with one owner each, joined by a token and a tracker.
//!
//! ```text
//!  SIGHUP, files ──▶ reload ──▶ settings in force, which every task reads anew
//!
//! alarm, jolts ──▶ reconcile ──▶ EC2     alarm: wakes a pass at the next edge; jolts: when time made a jump
//!        ▲           │ next edge         reconcile: makes the passes, or checks that the cloud made them
//!        └───────────┤
//!                    ▼ nudge
//!                 polling ──▶ watch ──▶ journal, log
//!
//!  reconcile, watch ──▶ notify: one task for each destination
//!  all ──▶ health ──▶ herald ──▶ systemd
//! ```
//!
//! Wake-ups carry no decision: every pass looks at EC2 afresh. So a task that dies is simply started again.

mod alarm;
mod backoff;
mod health;
mod herald;
mod in_force;
mod jolt;
mod reconcile;
mod reload;
mod rules;
mod supervise;
mod tidings;
mod watch;

use std::path::PathBuf;
use std::sync::Arc;

use curfew_aws::clock::Clock;
use curfew_aws::organisation::Organisation;
use curfew_core::govern::Governance;
use tokio::sync::{Mutex, Notify, mpsc};
use tokio_util::sync::CancellationToken;
use tracing::info;

use self::alarm::Alarm;
use self::herald::Herald;
use self::in_force::Current;
use self::jolt::Jolts;
use self::reload::Reloading;
use self::supervise::Tasks;
use crate::journal::{Journal, JournalError};
use crate::notify::{Delivery, Notifier};
use crate::settings::{DaemonSettings, Driver};
use crate::systemd::ServiceManager;

pub use alarm::AlarmError;
pub(crate) use backoff::Backoff;
pub use health::Health;
pub use in_force::InForce;
pub use jolt::{Stopwatch, Uptime};
pub use reload::Reload;
pub use rules::{RuleKeeper, wake_up_rules};
pub use watch::{Ledger, Look, Polling, Seen, Sightings};

/// What the daemon runs on, besides its settings: everything that touches the outside.
#[derive(Debug)]
pub struct Ports {
    /// The time.
    pub clock: Clock,
    /// The time since the boot.
    pub stopwatch: Stopwatch,
    /// The instances of every governed account and region.
    pub organisation: Organisation,
    /// The directory of the journal, where transitions are kept.
    pub state_dir: PathBuf,
    /// Who registers the rules that wake the cloud; nobody, where the daemon makes the passes itself.
    pub rules: Option<RuleKeeper>,
    /// Takes what people are to be told.
    pub notifier: Notifier,
    /// Bring it to them.
    pub deliveries: Vec<Delivery>,
    /// Who started the daemon and wants to know how it is.
    pub manager: ServiceManager,
    /// How to read the settings again, where they may change.
    pub reload: Option<Reload>,
    /// How it is: for whoever else asks.
    pub health: Health,
}

impl Ports {
    /// A daemon that nobody waits for, that tells nobody anything and whose settings stay.
    pub fn quiet(clock: Clock, organisation: Organisation, state_dir: PathBuf) -> Self {
        Self {
            clock,
            stopwatch: Stopwatch::system(),
            organisation,
            state_dir,
            rules: None,
            notifier: Notifier::silent(),
            deliveries: Vec::new(),
            manager: ServiceManager::absent(),
            reload: None,
            health: Health::default(),
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
    settings: &DaemonSettings,
    governance: Arc<Governance>,
    ports: Ports,
    shutdown: CancellationToken,
) -> Result<(), RunError> {
    let Ports {
        clock,
        stopwatch,
        organisation,
        state_dir,
        rules,
        notifier,
        deliveries,
        manager,
        reload,
        health,
    } = ports;
    // Nothing works without it: then whoever starts the daemon is told, and not the log.
    drop(Journal::open(&state_dir)?);
    let (driver, manager) = (settings.driver, Arc::new(manager));
    let keeps_rules = rules.is_some();
    let (in_force, current) = in_force::begin(settings, governance, organisation, rules);
    health.settings(1, None);
    info!(
        ?driver,
        poll_seconds = settings.poll.as_secs(),
        "curfew runs"
    );

    let tasks = Tasks::new(shutdown.clone(), health.clone());
    let nudge = Arc::new(Notify::new());
    let making = Making {
        clock: clock.clone(),
        current,
        shutdown,
        nudge,
    };
    let (seen, sightings) = mpsc::channel(watch::SIGHTINGS);
    making.reconcile(&tasks, driver, stopwatch, notifier.clone(), health.clone());
    making.polling(&tasks, seen);
    making.watch(&tasks, state_dir, notifier, sightings);
    if keeps_rules {
        making.rules(&tasks);
    }
    for delivery in deliveries {
        let name = format!("notify {}", delivery.destination());
        let shutdown = making.shutdown.clone();
        tasks.keep(name, None, move |_| {
            let running = delivery.clone().run(shutdown.clone());
            async move {
                running.await;
                Ok(())
            }
        });
    }
    let announced = CancellationToken::new();
    if let Some(reload) = reload {
        let (health, manager) = (health.clone(), Arc::clone(&manager));
        let reloading = Reloading::new(reload, in_force, health, manager, announced.clone());
        making.reload(&tasks, reloading);
    }
    making.herald(&tasks, &manager, &health, &announced);
    // The tasks have their own: deliveries end when everybody is gone who could tell them anything.
    drop(making);
    tasks.join(&manager).await
}

/// What most tasks are made with.
struct Making {
    clock: Clock,
    current: Current,
    shutdown: CancellationToken,
    /// Wakes polling when something has just been changed.
    nudge: Arc<Notify>,
}

impl Making {
    fn reconcile(
        &self,
        tasks: &Tasks,
        driver: Driver,
        stopwatch: Stopwatch,
        notifier: Notifier,
        health: Health,
    ) {
        let (clock, current) = (self.clock.clone(), self.current.clone());
        let (shutdown, nudge) = (self.shutdown.clone(), Arc::clone(&self.nudge));
        let missing = Some("no pass has been made yet");
        tasks.keep("reconcile", missing, move |pulse| {
            let (clock, current) = (clock.clone(), current.clone());
            let (shutdown, nudge) = (shutdown.clone(), Arc::clone(&nudge));
            let (notifier, health) = (notifier.clone(), health.clone());
            let jolts = Jolts::new(clock.clone(), stopwatch.clone());
            async move {
                let (wake, wake_ups) = mpsc::channel(reconcile::WAKE_UPS);
                let grace = current.borrow().grace;
                let reconcile = reconcile::Reconcile {
                    alarm: Alarm::new(wake, clock.clone()).await?,
                    standing: tidings::Standing::lasting(reconcile::patience(driver, grace)),
                    driver,
                    current,
                    clock,
                    jolts,
                    notifier,
                    nudge,
                    health,
                    pulse,
                };
                reconcile.run(wake_ups, shutdown).await;
                Ok(())
            }
        });
    }

    fn polling(&self, tasks: &Tasks, seen: mpsc::Sender<Seen>) {
        let (current, shutdown) = (self.current.clone(), self.shutdown.clone());
        let nudge = Arc::clone(&self.nudge);
        tasks.keep("polling", None, move |pulse| {
            let (mut current, shutdown) = (current.clone(), shutdown.clone());
            let (nudge, seen) = (Arc::clone(&nudge), seen.clone());
            async move {
                while !shutdown.is_cancelled() {
                    let now = Arc::clone(&current.borrow_and_update());
                    let organisation = now.organisation.clone();
                    let polling = Polling::new(organisation, now.poll, Arc::clone(&nudge));
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

    fn watch(
        &self,
        tasks: &Tasks,
        state_dir: PathBuf,
        notifier: Notifier,
        sightings: mpsc::Receiver<Seen>,
    ) {
        let (clock, current) = (self.clock.clone(), self.current.clone());
        let shutdown = self.shutdown.clone();
        // It outlives the task, and with it what has been seen and is not written yet.
        let sightings = Arc::new(Mutex::new(sightings));
        let missing = Some("nothing has been seen yet");
        tasks.keep("watch", missing, move |pulse| {
            let (clock, mut current) = (clock.clone(), current.clone());
            let (state_dir, notifier) = (state_dir.clone(), notifier.clone());
            let (sightings, shutdown) = (Arc::clone(&sightings), shutdown.clone());
            async move {
                let mut sightings = sightings.lock().await;
                let journal = Journal::open(&state_dir)?;
                let now = Arc::clone(&current.borrow_and_update());
                let ledger = Ledger::new(journal.sightings()?, &now);
                let watched = tidings::Watched::new(notifier, Arc::clone(&now.governance));
                let incoming = watch::Incoming {
                    sightings: &mut sightings,
                    current,
                };
                watch::keep(ledger, journal, clock, watched, incoming, &pulse, shutdown).await;
                Ok(())
            }
        });
    }

    fn rules(&self, tasks: &Tasks) {
        let (clock, current) = (self.clock.clone(), self.current.clone());
        let shutdown = self.shutdown.clone();
        tasks.keep("rules", None, move |_| {
            let (clock, mut current) = (clock.clone(), current.clone());
            let shutdown = shutdown.clone();
            async move {
                while !shutdown.is_cancelled() {
                    let rules = current.borrow_and_update().rules.clone();
                    let Some(rules) = rules else { break };
                    tokio::select! {
                        () = rules.keep(clock.clone(), shutdown.clone()) => break,
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
        // It outlives the task, and with it which settings are in force.
        let reloading = Arc::new(Mutex::new(reloading));
        tasks.keep("reload", None, move |pulse| {
            let (reloading, shutdown) = (Arc::clone(&reloading), shutdown.clone());
            async move {
                reloading.lock().await.run(pulse, shutdown).await;
                Ok(())
            }
        });
    }

    fn herald(
        &self,
        tasks: &Tasks,
        manager: &Arc<ServiceManager>,
        health: &Health,
        announced: &CancellationToken,
    ) {
        let shutdown = self.shutdown.clone();
        let (manager, health) = (Arc::clone(manager), health.clone());
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
