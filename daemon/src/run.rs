//! `curfew run`: one process, tasks with one owner each, joined by a token and a tracker.
//!
//! ```text
//!  SIGHUP, files ──▶ reload ──▶ configuration in force, which every task reads anew
//!
//! edge timer, clock jumps ──▶ reconcile ──▶ EC2     edge timer: wakes a pass at the next edge
//!                ▲           │ next edge          reconcile: runs the passes, or audits the cloud's
//!                └───────────┤
//!                            ▼ poll now
//!                  polling, queue ──▶ watch ──▶ journal, log
//!                                       └──▶ acknowledge ──▶ queue
//!
//!  reconcile ──▶ watch: what became of each edge, for the journal
//!  dead letters: counts what stands in the stack's queues of dead letters
//!  reconcile, watch, dead letters ──▶ notify: one task for each destination
//!  all ──▶ health ──▶ systemd notifier ──▶ systemd
//! ```
//!
//! Triggers carry no decision: every pass observes EC2 afresh. So a task that fails is simply restarted.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use curfew_aws::clock::Clock;
use curfew_aws::organisation::Organisation;
use curfew_config::DaemonConfiguration;
use curfew_core::schedule_set::ScheduleSet;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::active_configuration::{self, ActiveConfiguration};
use crate::health::Health;
use crate::journal_writer::JournalWriter;
use crate::metrics::Metrics;
use crate::notify::{Delivery, Notification, Notifier};
use crate::supervisor::{Supervisor, TaskObservers};
use crate::systemd::ServiceManager;
use crate::tasks::acknowledge::AcknowledgeTask;
use crate::tasks::channels::{TaskChannels, channels};
use crate::tasks::dead_letters::DeadLettersTask;
use crate::tasks::metrics_server::MetricsServer;
use crate::tasks::observation_bus::ObservationBus;
use crate::tasks::polling::PollingTask;
use crate::tasks::queue::QueueTask;
use crate::tasks::reconcile::{ReconcileTask, TimerScheduler};
use crate::tasks::reload::ReloadTask;
use crate::tasks::rules::RulesTask;
use crate::tasks::systemd_notifier::SystemdNotifier;
use crate::tasks::watch::WatchTask;
use crate::transitions::RecentActions;

pub use crate::active_configuration::RulePublication;
pub use crate::journal_writer::JournalWriterError;
pub use crate::supervisor::UnfinishedTasks;
pub use crate::tasks::dead_letters::DeadLetterQueues;
pub use crate::tasks::queue::{EventQueue, QueueAddress};
pub use crate::tasks::queue_counter::QueueCounter;
pub use crate::tasks::reconcile::{BootClock, BootTime, EdgeTimerError, Triggers};
pub use crate::tasks::reload::Reload;

/// What the daemon needs besides its configuration: everything that interacts with the environment.
#[derive(Debug)]
pub struct Dependencies {
    /// The current time, corrected by AWS's.
    pub clock: Clock,
    /// The time since the boot, which detects a suspended machine.
    pub boot_clock: BootClock,
    /// The instances of every managed account and region.
    pub organisation: Organisation,
    /// The directory of the journal, where transitions are kept.
    pub state_dir: PathBuf,
    /// The queue of EC2's state changes, if there is one.
    pub events: Option<EventQueue>,
    /// Publishes the rules that trigger the cloud's passes; `None` where the daemon runs the passes itself.
    pub rules: Option<RulePublication>,
    /// Sends a trigger to the cloud for overdue edges; `None` where the daemon runs the passes itself.
    pub triggers: Option<Triggers>,
    /// The stack's dead-letter queues; `None` where the daemon runs the passes itself.
    pub dead_letters: Option<DeadLetterQueues>,
    /// Queues the notifications of all tasks.
    pub notifier: Notifier,
    /// Deliver the notifications, one task for each destination.
    pub deliveries: Vec<Delivery>,
    /// The service manager that started the daemon, if any.
    pub manager: ServiceManager,
    /// How to read the configuration again; `None` if it can't change.
    pub reload: Option<Reload>,
    /// The daemon's health, for the HTTP endpoints and the service manager.
    pub health: Health,
    /// The metrics of all tasks.
    pub metrics: Metrics,
    /// The address of the metrics endpoint; `None` disables it.
    pub listen: Option<SocketAddr>,
}

impl Dependencies {
    /// Returns dependencies without notifications, service manager, reloads and endpoints.
    pub fn quiet(clock: Clock, organisation: Organisation, state_dir: PathBuf) -> Self {
        Self {
            clock,
            boot_clock: BootClock::system(),
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

/// Why the daemon can't continue.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The journal can't be opened at the start.
    #[error(transparent)]
    Journal(#[from] JournalWriterError),
    /// The edge timer can't be created.
    #[error(transparent)]
    EdgeTimer(#[from] EdgeTimerError),
    /// Tasks did not finish after the shutdown.
    #[error(transparent)]
    NotFinished(#[from] UnfinishedTasks),
}

/// Runs until `shutdown` is cancelled, then waits for every task to finish its current work.
pub async fn run(
    configuration: &DaemonConfiguration,
    schedule_set: Arc<ScheduleSet>,
    dependencies: Dependencies,
    shutdown: CancellationToken,
) -> Result<(), RunError> {
    // An error that waiting can't resolve ends the start.
    let journal = JournalWriter::open(&dependencies.state_dir)?;
    if let Some(replaced) = journal.take_replaced().await {
        let now = dependencies.clock.now();
        dependencies
            .notifier
            .notify(&Notification::journal_replaced(&replaced, now));
    }
    let timers = TimerScheduler::start().await?;
    info!(
        driver = ?configuration.driver,
        poll_seconds = configuration.poll.as_secs(),
        "curfew started"
    );
    let supervisor = Supervisor::new(
        shutdown,
        TaskObservers {
            health: dependencies.health.clone(),
            metrics: dependencies.metrics.clone(),
            notifier: dependencies.notifier.weak(),
            clock: dependencies.clock.clone(),
        },
    );
    let start = Start {
        configuration,
        schedule_set,
        dependencies,
        journal,
        timers: timers.clone(),
    };
    let manager = start.spawn_tasks(&supervisor);
    let joined = supervisor.join(&manager).await;
    timers.shut_down().await;
    Ok(joined?)
}

/// What the tasks are created from.
struct Start<'a> {
    configuration: &'a DaemonConfiguration,
    schedule_set: Arc<ScheduleSet>,
    dependencies: Dependencies,
    journal: JournalWriter,
    timers: TimerScheduler,
}

impl Start<'_> {
    /// Spawns every task. Each channel's ends, and the notifier, belong to the tasks alone afterwards: deliveries end with
    /// the last sender. Returns the service manager, which the tasks share.
    fn spawn_tasks(self, supervisor: &Supervisor) -> Arc<ServiceManager> {
        let Dependencies {
            boot_clock,
            organisation,
            state_dir,
            events,
            rules,
            triggers,
            dead_letters,
            notifier,
            deliveries,
            reload,
            health,
            metrics,
            listen,
            manager,
            clock: _,
        } = self.dependencies;
        let manager = Arc::new(manager);
        let publishes_rules = rules.is_some();
        let (publisher, configuration) = active_configuration::channel(
            self.configuration,
            self.schedule_set,
            organisation,
            rules,
        );
        health.configuration(1, None);
        metrics.configuration(1, true);
        let (senders, receivers, tasks) = channels();
        let TaskChannels {
            observations,
            edges,
            hint,
            writable,
            acks,
        } = tasks;
        let (bus, recent_actions) = (
            ObservationBus::new(observations.clone()),
            RecentActions::default(),
        );

        supervisor.spawn(ReconcileTask {
            driver: self.configuration.driver,
            configuration: configuration.clone(),
            boot_clock,
            timers: self.timers,
            notifier: notifier.clone(),
            bus: bus.clone(),
            recent_actions: recent_actions.clone(),
            triggers,
            edges,
            health: health.clone(),
        });
        if let Some(events) = events.clone() {
            supervisor.spawn(QueueTask {
                events: events.clone(),
                configuration: configuration.clone(),
                writable,
                acks: senders.acks.clone(),
                observations: observations.clone(),
            });
            supervisor.spawn(AcknowledgeTask::new(events, acks));
        }
        supervisor.spawn(PollingTask {
            configuration: configuration.clone(),
            bus,
            hint,
            observations,
        });
        if let Some(queues) = dead_letters {
            supervisor.spawn(DeadLettersTask::new(queues, notifier.clone()));
        }
        supervisor.spawn(WatchTask {
            state_dir,
            journal: Some(self.journal),
            events,
            configuration: configuration.clone(),
            recent_actions,
            notifier,
            senders,
            receivers,
        });
        if publishes_rules {
            supervisor.spawn(RulesTask { configuration });
        }
        let service = ServiceTasks {
            deliveries,
            reload: reload.map(|reload| (reload, publisher)),
            listen,
            health,
            manager: Arc::clone(&manager),
        };
        service.spawn(supervisor);
        manager
    }
}

/// The parts of the tasks that connect the daemon with its destinations, monitors and service manager.
struct ServiceTasks {
    deliveries: Vec<Delivery>,
    reload: Option<(Reload, watch::Sender<Arc<ActiveConfiguration>>)>,
    listen: Option<SocketAddr>,
    health: Health,
    manager: Arc<ServiceManager>,
}

impl ServiceTasks {
    fn spawn(self, supervisor: &Supervisor) {
        let Self {
            deliveries,
            reload,
            listen,
            health,
            manager,
        } = self;
        let announced = CancellationToken::new();
        for delivery in deliveries {
            supervisor.spawn(delivery);
        }
        if let Some((reload, publisher)) = reload {
            let (health, manager) = (health.clone(), Arc::clone(&manager));
            let announced = announced.clone();
            supervisor.spawn(ReloadTask::new(
                reload, publisher, health, manager, announced,
            ));
        }
        if let Some(address) = listen {
            let health = health.clone();
            supervisor.spawn(MetricsServer { address, health });
        }
        supervisor.spawn(SystemdNotifier {
            manager,
            health,
            announced,
        });
    }
}
