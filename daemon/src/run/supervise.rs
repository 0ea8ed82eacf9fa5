//! The daemon's tasks: each has a name, is started again when it dies, and ends with the others.

use std::any::Any;
use std::error::Error as StdError;
use std::future::Future;
use std::time::Duration;

use curfew_aws::clock::Clock;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};
use tracing::{error, info, warn};

use super::RunError;
use crate::backoff::Backoff;
use crate::health::{Health, Pulse};
use crate::metrics::Metrics;
use crate::notify::{Bystander, Notification};
use crate::systemd::{News, ServiceManager};

/// A task that has been at work for so long is not the one that kept dying: its next death is a first one.
const SETTLED: Duration = Duration::from_mins(10);

/// Deaths in a row that people are told of: one may be a hiccup, and is in the log.
const WORTH_TELLING: u32 = 3;

/// What is under way may take so long after the shutdown: a call to EC2 that hangs is given up after 15 s, and asked three times in
/// all. Below `TimeoutStopSec` of the unit, so that it is us who say what was not finished.
const DRAIN: Duration = Duration::from_secs(50);

/// While draining, what is waited for is said this often.
const REMINDER: Duration = Duration::from_secs(5);

/// The daemon's tasks.
#[derive(Debug)]
pub(super) struct Tasks {
    tracker: TaskTracker,
    shutdown: CancellationToken,
    /// After it, nobody is waited for.
    abandon: CancellationToken,
    witnesses: Witnesses,
}

/// Who hears of a task that dies.
#[derive(Clone, Debug)]
pub(super) struct Witnesses {
    pub(super) health: Health,
    pub(super) metrics: Metrics,
    pub(super) notifier: Bystander,
    pub(super) clock: Clock,
}

impl Tasks {
    /// None yet. `shutdown` asks all of them to end.
    pub(super) fn new(shutdown: CancellationToken, witnesses: Witnesses) -> Self {
        Self {
            tracker: TaskTracker::new(),
            shutdown,
            abandon: CancellationToken::new(),
            witnesses,
        }
    }

    /// Keeps a task at work: `start` makes it, at first and each time that it has died. Until the task says that it is well,
    /// `missing` says what the daemon is not ready without.
    pub(super) fn keep<F, T>(
        &self,
        name: impl Into<String>,
        missing: Option<&'static str>,
        start: F,
    ) where
        F: FnMut(Pulse) -> T + Send + 'static,
        T: Future<Output = Result<(), RunError>> + Send + 'static,
    {
        let name = name.into();
        // Before anybody asks whether the daemon is ready.
        self.witnesses.health.begins(&name, missing);
        self.witnesses.metrics.task_begins(&name);
        let keeper = Keeper {
            name,
            missing,
            shutdown: self.shutdown.clone(),
            abandon: self.abandon.clone(),
            witnesses: self.witnesses.clone(),
        };
        self.tracker.spawn(keeper.keep(start));
    }

    /// Waits for the shutdown, and then for every task: for a bounded time, and saying for whom.
    pub(super) async fn join(self, manager: &ServiceManager) -> Result<(), RunError> {
        self.shutdown.cancelled().await;
        self.tracker.close();
        let begun = Instant::now();
        while begun.elapsed() < DRAIN {
            let everybody = tokio::time::timeout(REMINDER, self.tracker.wait());
            if everybody.await.is_ok() {
                return Ok(());
            }
            let tasks = self.witnesses.health.at_work().join(", ");
            info!(tasks, "still finishing");
            manager.tell(&[News::Status(&format!("finishing: {tasks}"))]);
        }
        let tasks = self.witnesses.health.at_work().join(", ");
        warn!(tasks, "not finished in time, and abandoned");
        self.abandon.cancel();
        self.tracker.wait().await;
        Err(RunError::NotFinished { tasks })
    }
}

struct Keeper {
    name: String,
    missing: Option<&'static str>,
    shutdown: CancellationToken,
    abandon: CancellationToken,
    witnesses: Witnesses,
}

impl Keeper {
    async fn keep<F, T>(self, mut start: F)
    where
        F: FnMut(Pulse) -> T,
        T: Future<Output = Result<(), RunError>> + Send + 'static,
    {
        let task = self.name.as_str();
        let Witnesses {
            health,
            metrics,
            notifier,
            clock,
        } = &self.witnesses;
        let mut backoff = Backoff::default();
        let mut told = false;
        while !self.shutdown.is_cancelled() {
            let pulse = health.begins(task, self.missing);
            let begun = Instant::now();
            let mut running = AbortOnDropHandle::new(tokio::spawn(start(pulse)));
            let ended = loop {
                tokio::select! {
                    ended = &mut running => break ended,
                    () = self.abandon.cancelled() => return,
                    () = tokio::time::sleep_until(begun + SETTLED), if told => {
                        notifier.tell(&Notification::recovered(task, clock.now()));
                        told = false;
                    }
                }
            };
            let why = match ended {
                Ok(Ok(())) if self.shutdown.is_cancelled() => break,
                Ok(Ok(())) => "it ended though nobody asked it to".to_owned(),
                Ok(Err(error)) => in_words(&error),
                Err(died) => match died.try_into_panic() {
                    Ok(panic) => format!("it panicked: {}", said(&*panic)),
                    Err(_) => "it was aborted".to_owned(),
                },
            };
            if begun.elapsed() >= SETTLED {
                backoff.after_success();
            }
            let wait = backoff.after_failure();
            let (deaths, retry_seconds) = (backoff.failures(), wait.as_secs());
            error!(
                task,
                why, deaths, retry_seconds, "a task of the daemon died: it is restarted"
            );
            health.is_down(task, &why);
            metrics.task_restarted(task);
            if deaths == WORTH_TELLING {
                notifier.tell(&Notification::dying(task, &why, deaths, clock.now()));
                told = true;
            }
            self.shutdown
                .run_until_cancelled(tokio::time::sleep(wait))
                .await;
        }
        health.ended(task);
    }
}

fn in_words(error: &RunError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// What a panic said.
fn said(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    let owned = panic.downcast_ref::<String>().map(String::as_str);
    text.or(owned).unwrap_or("nothing that can be shown")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::notify::Overheard;

    fn tasks() -> (Tasks, Health, CancellationToken) {
        telling(Bystander::default())
    }

    fn telling(notifier: Bystander) -> (Tasks, Health, CancellationToken) {
        let (shutdown, health) = (CancellationToken::new(), Health::default());
        let witnesses = Witnesses {
            health: health.clone(),
            metrics: Metrics::default(),
            notifier,
            clock: Clock::system(),
        };
        let tasks = Tasks::new(shutdown.clone(), witnesses);
        (tasks, health, shutdown)
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_dies_is_restarted_later_and_later_and_readiness_says_so_meanwhile() {
        let (tasks, health, shutdown) = tasks();
        let lives = Arc::new(AtomicU32::new(0));
        let (counted, token) = (Arc::clone(&lives), shutdown.clone());
        tasks.keep("watch", None, move |_| {
            let (life, token) = (counted.fetch_add(1, Ordering::Relaxed), token.clone());
            async move {
                match life {
                    0 => panic!("a bug, number {life}"),
                    1 => {}
                    _ => token.cancelled().await,
                }
                Ok(())
            }
        });
        let none_yet = "curfew_task_restarts_total{task=\"watch\"} 0";
        assert!(
            tasks.witnesses.metrics.text().contains(none_yet),
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
            ["the task `watch` is being restarted: it ended though nobody asked it to"]
        );
        while lives.load(Ordering::Relaxed) < 3 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert!(begun.elapsed() >= Duration::from_secs(3), "1 s and 2 s");
        assert_eq!(health.unready(), [""; 0]);
        let counted = "curfew_task_restarts_total{task=\"watch\"} 2";
        assert!(tasks.witnesses.metrics.text().contains(counted));
        shutdown.cancel();
        tasks.join(&ServiceManager::absent()).await.unwrap();
        assert_eq!(health.at_work(), [""; 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_keeps_dying_is_told_once_and_when_it_has_stayed_alive() {
        let (notifier, overheard) = Overheard::new();
        let (tasks, _, shutdown) = telling(notifier.bystander());
        let (lives, token) = (AtomicU32::new(0), shutdown.clone());
        tasks.keep("watch", None, move |_| {
            let (life, token) = (lives.fetch_add(1, Ordering::Relaxed), token.clone());
            async move {
                assert!(life >= 5, "a bug, number {life}");
                token.cancelled().await;
                Ok(())
            }
        });
        // 1, 2, 4, 8 and 16 s.
        tokio::time::sleep(Duration::from_secs(40)).await;
        assert_eq!(
            overheard.told().await,
            [
                "Curfew: the daemon's task `watch` has died 3 times in a row: it panicked: a bug, number 2; it is started again \
                 and again. A bug: please report it"
            ]
        );
        tokio::time::sleep(SETTLED).await;
        assert_eq!(
            overheard.told().await,
            ["Curfew: the daemon's task `watch` is at work again"]
        );
        tokio::time::sleep(SETTLED * 2).await;
        assert_eq!(overheard.told().await, [""; 0]);
        shutdown.cancel();
        tasks.join(&ServiceManager::absent()).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_finish_is_waited_for_so_long_and_named() {
        let (tasks, _, shutdown) = tasks();
        tasks.keep("reconcile", None, |_| async {
            std::future::pending::<()>().await;
            Ok(())
        });
        let token = shutdown.clone();
        tasks.keep("polling", None, move |_| {
            let token = token.clone();
            async move {
                token.cancelled().await;
                Ok(())
            }
        });
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
        tasks.keep("watch", None, |_| async { panic!("a bug") });
        while !health.unready().iter().any(|why| why.contains("restarted")) {
            tokio::task::yield_now().await;
        }
        shutdown.cancel();
        let begun = Instant::now();
        tasks.join(&ServiceManager::absent()).await.unwrap();
        assert!(begun.elapsed() < Duration::from_secs(1));
    }
}
