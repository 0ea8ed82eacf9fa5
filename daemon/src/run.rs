//! `curfew run`: one process, tasks with one owner each, joined by a token and a tracker.
//!
//! ```text
//! alarm ──▶ reconcile ──▶ EC2        alarm: wakes a pass at the next edge
//!   ▲           │ next edge          reconcile: makes the passes, or checks that the cloud made them
//!   └───────────┤
//!               ▼ nudge
//!            polling ──▶ watch ──▶ journal, log
//!
//!  reconcile, watch ──▶ notify: one task for each destination
//! ```
//!
//! Wake-ups carry no decision: every pass looks at EC2 afresh.

mod alarm;
mod backoff;
mod reconcile;
mod rules;
mod tidings;
mod watch;

use std::sync::{Arc, OnceLock};

use curfew_aws::clock::Clock;
use curfew_aws::organisation::Organisation;
use curfew_core::govern::Governance;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, info};

use crate::journal::{Journal, JournalError};
use crate::notify::{Delivery, Notifier};
use crate::settings::{DaemonSettings, Driver};

pub use alarm::AlarmError;
pub(crate) use backoff::Backoff;
pub use rules::{RuleKeeper, wake_up_rules};
pub use watch::{Ledger, Look, Polling, Seen, Sightings};

/// What the daemon runs on, besides its settings: everything that touches the outside.
#[derive(Debug)]
pub struct Ports {
    /// The time.
    pub clock: Clock,
    /// The instances of every governed account and region.
    pub organisation: Organisation,
    /// Where transitions are kept.
    pub journal: Journal,
    /// Who registers the rules that wake the cloud; nobody, where the daemon makes the passes itself.
    pub rules: Option<RuleKeeper>,
    /// Takes what people are to be told.
    pub notifier: Notifier,
    /// Bring it to them.
    pub deliveries: Vec<Delivery>,
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
    /// A task ended though nobody asked it to.
    #[error("the daemon's task `{task}` ended unexpectedly")]
    TaskEnded {
        /// Its name.
        task: &'static str,
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
        organisation,
        journal,
        rules,
        notifier,
        deliveries,
    } = ports;
    let (wake, wake_ups) = mpsc::channel(reconcile::WAKE_UPS);
    let (seen, sightings) = mpsc::channel(watch::SIGHTINGS);
    let nudge = Arc::new(Notify::new());
    let others = organisation.members().iter();
    let others = others.filter_map(|one| one.member.account.clone());
    let ledger = Ledger::new(journal.sightings()?, Arc::clone(&governance)).beside(others);
    let alarm = alarm::Alarm::new(wake.clone(), clock.clone()).await?;
    let polling = Polling::new(organisation.clone(), settings.poll, Arc::clone(&nudge));
    // The cloud mends most contradictions by itself, within its grace.
    let patience = match settings.driver {
        Driver::Cloud => settings.grace,
        Driver::Daemon => std::time::Duration::ZERO,
    };
    let watched = tidings::Watched::new(notifier.clone(), Arc::clone(&governance));
    let reconcile = reconcile::Reconcile {
        notifier,
        standing: tidings::Standing::lasting(patience),
        driver: settings.driver,
        grace: settings.grace,
        governance,
        organisation,
        clock: clock.clone(),
        alarm,
        nudge,
    };
    info!(driver = ?settings.driver, poll_seconds = settings.poll.as_secs(), "curfew runs");

    let tasks = Tasks {
        tracker: TaskTracker::new(),
        shutdown,
        ended: Arc::new(OnceLock::new()),
    };
    tasks.spawn("reconcile", reconcile.run(wake_ups, tasks.shutdown.clone()));
    tasks.spawn(
        "polling",
        watch::forward(polling, seen, tasks.shutdown.clone()),
    );
    tasks.spawn(
        "watch",
        watch::keep(
            ledger,
            journal,
            clock.clone(),
            watched,
            sightings,
            tasks.shutdown.clone(),
        ),
    );
    if let Some(rules) = rules {
        tasks.spawn("rules", rules.keep(clock.clone(), tasks.shutdown.clone()));
    }
    for delivery in deliveries {
        tasks.spawn("notify", delivery.run(tasks.shutdown.clone()));
    }
    tasks.join().await
}

/// The daemon's tasks: none may end before the others.
struct Tasks {
    tracker: TaskTracker,
    shutdown: CancellationToken,
    /// The first task that ended on its own.
    ended: Arc<OnceLock<&'static str>>,
}

impl Tasks {
    fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let (shutdown, ended) = (self.shutdown.clone(), Arc::clone(&self.ended));
        let running = tokio::spawn(task);
        self.tracker.spawn(async move {
            let result = running.await;
            if !shutdown.is_cancelled() {
                error!(
                    task = name,
                    panicked = result.is_err(),
                    "a task of the daemon ended unexpectedly"
                );
                let _already_known = ended.set(name);
                shutdown.cancel();
            }
        });
    }

    async fn join(self) -> Result<(), RunError> {
        self.tracker.close();
        self.tracker.wait().await;
        match self.ended.get() {
            Some(task) => Err(RunError::TaskEnded { task }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_dies_ends_the_daemon_and_is_named() {
        let tasks = Tasks {
            tracker: TaskTracker::new(),
            shutdown: CancellationToken::new(),
            ended: Arc::new(OnceLock::new()),
        };
        let shutdown = tasks.shutdown.clone();
        tasks.spawn("watch", async { panic!("a bug") });
        tasks.spawn("polling", async move { shutdown.cancelled().await });
        let error = tasks.join().await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "the daemon's task `watch` ended unexpectedly"
        );
    }
}
