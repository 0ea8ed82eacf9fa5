//! The supervisor of the daemon's tasks: it runs each task, restarts one that panics, fails or ends early, and joins all of them at the
//! shutdown.

use std::any::Any;
use std::borrow::Cow;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use curfew_aws::clock::Clock;
use curfew_aws::error::sources;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};
use tracing::{error, info, warn};

use crate::backoff::Backoff;
use crate::health::{Health, TaskHealth, shutdown_status};
use crate::journal_writer::JournalWriterError;
use crate::metrics::Metrics;
use crate::notify::{Notification, WeakNotifier};
use crate::systemd::{ServiceManager, SystemdMessage};

/// After this long without a failure, the next one counts as the first again.
const SETTLED: Duration = Duration::from_mins(10);

/// The number of consecutive failures after which a notification is sent: a single failure may be a hiccup, and is logged.
const FAILURES_TO_NOTIFY: u32 = 3;

/// How long tasks may take to finish after the shutdown: a call to EC2 that hangs fails after 15 s, and is made three times
/// in all. Below `TimeoutStopSec` of the unit, so that the daemon can name what did not finish.
const DRAIN: Duration = Duration::from_secs(50);

/// The interval at which unfinished tasks are logged while draining.
const LOG_INTERVAL: Duration = Duration::from_secs(5);

/// A part of the daemon that runs until the shutdown.
///
/// The supervisor keeps the object across restarts; `run` creates at its start whatever a failure invalidates.
pub(crate) trait Task: Send + 'static {
    /// The name in logs, metrics and `/readyz`.
    const NAME: &'static str;

    /// Why the daemon is not ready before the task has reported [`TaskHealth::ok`]; `None` if readiness does not depend on
    /// the task.
    const NOT_READY: Option<&'static str> = None;

    /// The full name, where several tasks of one kind run.
    fn name(&self) -> Cow<'static, str> {
        Cow::Borrowed(Self::NAME)
    }

    /// Runs until `ctx.shutdown`. The task is restarted if this fails, panics, or returns earlier.
    fn run(&mut self, ctx: &TaskContext) -> impl Future<Output = Result<(), TaskError>> + Send;
}

/// What every task runs with.
#[derive(Clone, Debug)]
pub(crate) struct TaskContext {
    pub(crate) clock: Clock,
    pub(crate) metrics: Metrics,
    /// The health of this run of the task.
    pub(crate) health: TaskHealth,
    pub(crate) shutdown: CancellationToken,
}

/// Why a task failed that will be restarted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TaskError {
    /// The journal can't be opened.
    #[error(transparent)]
    Journal(#[from] JournalWriterError),
}

/// Tasks that did not finish in time after the shutdown.
#[derive(Debug, thiserror::Error)]
#[error("the daemon ended without `{tasks}`, which did not finish in 50 s")]
pub struct UnfinishedTasks {
    /// The names of the tasks, separated by commas.
    pub tasks: String,
}

/// Where the supervisor reports failures.
#[derive(Clone, Debug)]
pub(crate) struct TaskObservers {
    pub(crate) health: Health,
    pub(crate) metrics: Metrics,
    pub(crate) notifier: WeakNotifier,
    pub(crate) clock: Clock,
}

/// Runs the daemon's tasks.
#[derive(Debug)]
pub(crate) struct Supervisor {
    tracker: TaskTracker,
    shutdown: CancellationToken,
    /// Cancelled when the time to finish is over.
    abandon: CancellationToken,
    observers: TaskObservers,
}

impl Supervisor {
    /// Creates a supervisor without tasks. `shutdown` ends the tasks that it gets.
    pub(crate) fn new(shutdown: CancellationToken, observers: TaskObservers) -> Self {
        Self {
            tracker: TaskTracker::new(),
            shutdown,
            abandon: CancellationToken::new(),
            observers,
        }
    }

    /// Runs `task`, and restarts it with a growing delay after each failure.
    pub(crate) fn spawn<T: Task>(&self, task: T) {
        let name = task.name();
        // Registers the task before readiness is first checked.
        self.observers.health.task_started(&name, T::NOT_READY);
        self.observers.metrics.task_started(&name);
        let supervised = SupervisedTask {
            name: name.into_owned(),
            task,
            shutdown: self.shutdown.clone(),
            abandon: self.abandon.clone(),
            observers: self.observers.clone(),
        };
        self.tracker.spawn(supervised.run());
    }

    /// Waits for the shutdown, and then for every task, up to [`DRAIN`].
    pub(crate) async fn join(self, manager: &ServiceManager) -> Result<(), UnfinishedTasks> {
        self.shutdown.cancelled().await;
        self.tracker.close();
        let begun = Instant::now();
        while begun.elapsed() < DRAIN {
            let all = tokio::time::timeout(LOG_INTERVAL, self.tracker.wait());
            if all.await.is_ok() {
                return Ok(());
            }
            let tasks = self.observers.health.running_tasks().join(", ");
            info!(tasks, "waiting for tasks to finish");
            manager.notify(&[SystemdMessage::Status(&shutdown_status(&tasks))]);
        }
        let tasks = self.observers.health.running_tasks().join(", ");
        warn!(tasks, "tasks did not finish in time; abandoning them");
        self.abandon.cancel();
        self.tracker.wait().await;
        Err(UnfinishedTasks { tasks })
    }
}

/// A task, and what is needed to restart it.
struct SupervisedTask<T> {
    name: String,
    task: T,
    shutdown: CancellationToken,
    abandon: CancellationToken,
    observers: TaskObservers,
}

impl<T: Task> SupervisedTask<T> {
    async fn run(self) {
        let Self {
            name,
            task,
            shutdown,
            abandon,
            observers,
        } = self;
        let TaskObservers {
            health,
            metrics,
            notifier,
            clock,
        } = &observers;
        let name = name.as_str();
        // Locked by one run at a time. A panic unlocks it, and keeps the object for the next run.
        let task = Arc::new(Mutex::new(task));
        let mut backoff = Backoff::default();
        let mut notified = false;
        while !shutdown.is_cancelled() {
            let context = TaskContext {
                clock: clock.clone(),
                metrics: metrics.clone(),
                health: health.task_started(name, T::NOT_READY),
                shutdown: shutdown.clone(),
            };
            let begun = Instant::now();
            let this_run = Arc::clone(&task);
            let running = async move { this_run.lock().await.run(&context).await };
            let mut running = AbortOnDropHandle::new(tokio::spawn(running));
            let ended = loop {
                tokio::select! {
                    ended = &mut running => break ended,
                    () = abandon.cancelled() => return,
                    () = tokio::time::sleep_until(begun + SETTLED), if notified => {
                        notifier.notify(&Notification::task_recovered(name, clock.now()));
                        notified = false;
                    }
                }
            };
            let why = match ended {
                Ok(Ok(())) if shutdown.is_cancelled() => break,
                Ok(Ok(())) => "it returned before the shutdown".to_owned(),
                Ok(Err(error)) => error_chain(&error),
                Err(died) => match died.try_into_panic() {
                    Ok(panic) => format!("it panicked: {}", panic_message(&*panic)),
                    Err(_) => "it was aborted".to_owned(),
                },
            };
            if begun.elapsed() >= SETTLED {
                backoff.after_success();
            }
            let wait = backoff.after_failure();
            let (deaths, retry_seconds) = (backoff.failures(), wait.as_secs());
            error!(
                task = name,
                why, deaths, retry_seconds, "task failed; restarting it"
            );
            health.task_failed(name, &why);
            metrics.task_restarted(name);
            if deaths == FAILURES_TO_NOTIFY {
                notifier.notify(&Notification::task_failing(name, &why, deaths, clock.now()));
                notified = true;
            }
            shutdown.run_until_cancelled(tokio::time::sleep(wait)).await;
        }
        health.task_ended(name);
    }
}

/// Returns the error and its sources in one line.
fn error_chain(error: &TaskError) -> String {
    let sources = sources(error).map(|source| format!(": {source}"));
    std::iter::once(error.to_string()).chain(sources).collect()
}

fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    let owned = panic.downcast_ref::<String>().map(String::as_str);
    text.or(owned).unwrap_or("nothing that can be shown")
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::notify::TestSink;

    /// A task that follows its script, one step in each run.
    struct Scripted<F> {
        lives: Arc<AtomicU32>,
        script: F,
    }

    impl<F> Scripted<F> {
        fn new(script: F) -> Self {
            let lives = Arc::default();
            Self { lives, script }
        }
    }

    impl<F> Task for Scripted<F>
    where
        F: Fn(u32) -> Life + Send + Sync + 'static,
    {
        const NAME: &'static str = "watch";

        async fn run(&mut self, ctx: &TaskContext) -> Result<(), TaskError> {
            let life = self.lives.fetch_add(1, Ordering::Relaxed);
            match (self.script)(life) {
                Life::Panics => panic!("a bug, number {life}"),
                Life::EndsEarly => {}
                Life::RunsToTheEnd => ctx.shutdown.cancelled().await,
            }
            Ok(())
        }
    }

    enum Life {
        Panics,
        EndsEarly,
        RunsToTheEnd,
    }

    /// A task that never ends, with a distinct name.
    struct Hanging;

    impl Task for Hanging {
        const NAME: &'static str = "reconcile";

        async fn run(&mut self, _: &TaskContext) -> Result<(), TaskError> {
            std::future::pending().await
        }
    }

    fn tasks() -> (Supervisor, Health, CancellationToken) {
        supervisor_with(WeakNotifier::default())
    }

    fn supervisor_with(notifier: WeakNotifier) -> (Supervisor, Health, CancellationToken) {
        let (shutdown, health) = (CancellationToken::new(), Health::default());
        let observers = TaskObservers {
            health: health.clone(),
            metrics: Metrics::default(),
            notifier,
            clock: Clock::system(),
        };
        let tasks = Supervisor::new(shutdown.clone(), observers);
        (tasks, health, shutdown)
    }

    #[tokio::test(start_paused = true)]
    async fn a_failing_task_is_restarted_with_a_growing_delay_and_the_daemon_is_not_ready_meanwhile()
     {
        let (tasks, health, shutdown) = tasks();
        let lives = Arc::new(AtomicU32::new(0));
        tasks.spawn(Scripted {
            lives: Arc::clone(&lives),
            script: |life| match life {
                0 => Life::Panics,
                1 => Life::EndsEarly,
                _ => Life::RunsToTheEnd,
            },
        });
        let none_yet = "curfew_task_restarts_total{task=\"watch\"} 0";
        assert!(
            tasks.observers.metrics.text().contains(none_yet),
            "or the first death is no increase"
        );
        let begun = Instant::now();
        while !health.unready().iter().any(|why| why.contains("restarted")) {
            tokio::task::yield_now().await;
        }
        assert_eq!(
            health.unready(),
            ["the task `watch` is being restarted: it panicked: a bug, number 0"]
        );
        while lives.load(Ordering::Relaxed) < 2 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        while !health.unready().iter().any(|why| why.contains("restarted")) {
            tokio::task::yield_now().await;
        }
        assert_eq!(
            health.unready(),
            ["the task `watch` is being restarted: it returned before the shutdown"]
        );
        while lives.load(Ordering::Relaxed) < 3 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert!(begun.elapsed() >= Duration::from_secs(3), "1 s and 2 s");
        assert_eq!(health.unready(), [""; 0]);
        let counted = "curfew_task_restarts_total{task=\"watch\"} 2";
        assert!(tasks.observers.metrics.text().contains(counted));
        shutdown.cancel();
        tasks.join(&ServiceManager::absent()).await.unwrap();
        assert_eq!(health.running_tasks(), [""; 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_keeps_failing_is_reported_once_and_so_is_its_recovery() {
        let (notifier, sink) = TestSink::new();
        let (tasks, _, shutdown) = supervisor_with(notifier.weak());
        tasks.spawn(Scripted::new(|life| match life {
            0..5 => Life::Panics,
            _ => Life::RunsToTheEnd,
        }));
        // 1, 2, 4, 8 and 16 s.
        tokio::time::sleep(Duration::from_secs(40)).await;
        assert_eq!(
            sink.sentences().await,
            [
                "Curfew: the daemon's task `watch` failed 3 times in a row: it panicked: a bug, number 2; it is restarted \
                 each time. A bug: please report it"
            ]
        );
        tokio::time::sleep(SETTLED).await;
        assert_eq!(
            sink.sentences().await,
            ["Curfew: the daemon's task `watch` is running again"]
        );
        tokio::time::sleep(SETTLED * 2).await;
        assert_eq!(sink.sentences().await, [""; 0]);
        shutdown.cancel();
        tasks.join(&ServiceManager::absent()).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn an_unfinished_task_is_abandoned_after_the_drain_time_and_named() {
        let (tasks, _, shutdown) = tasks();
        tasks.spawn(Hanging);
        tasks.spawn(Scripted::new(|_| Life::RunsToTheEnd));
        tokio::task::yield_now().await;
        shutdown.cancel();
        let error = tasks.join(&ServiceManager::absent()).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "the daemon ended without `reconcile`, which did not finish in 50 s"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_is_down_at_the_shutdown_is_not_restarted() {
        let (tasks, health, shutdown) = tasks();
        tasks.spawn(Scripted::new(|_| Life::Panics));
        while !health.unready().iter().any(|why| why.contains("restarted")) {
            tokio::task::yield_now().await;
        }
        shutdown.cancel();
        let begun = Instant::now();
        tasks.join(&ServiceManager::absent()).await.unwrap();
        assert!(begun.elapsed() < Duration::from_secs(1));
    }
}
