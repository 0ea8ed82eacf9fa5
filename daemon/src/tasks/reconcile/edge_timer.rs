//! The edge timer: one job of tokio-cron-scheduler, armed for the next due instant.
//!
//! The scheduler gets UTC instants that `core` computed, never a zone: it freezes a zone's offset when a job is created (its
//! issue 107), which is an hour off after a clock change. It compares with the wall clock twice a second, so it survives a
//! suspended machine and a clock that is set. It knows whole seconds only, so the remainder is slept exactly.

use std::time::Duration;

use curfew_aws::clock::Clock;
use jiff::Timestamp;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio_cron_scheduler::{Job, JobScheduler, JobSchedulerError};
use tracing::{debug, warn};
use uuid::Uuid;

/// How long before the instant the job fires. It may be a second and a half off: it drops fractions and checks every half
/// second.
const LEAD: Duration = Duration::from_secs(2);

/// An error of the scheduler.
#[derive(Debug, thiserror::Error)]
#[error("the job scheduler can't be {what}")]
pub struct EdgeTimerError {
    what: &'static str,
    source: JobSchedulerError,
}

/// One scheduler for the lifetime of the daemon. Its tasks can be left idle but never ended, since they hold each other
/// (`JobRunner` of tokio-cron-scheduler 0.15 holds the scheduler, and that holds the channel which the runner waits for): a
/// scheduler for each restart of a task would leak.
#[derive(Clone)]
pub(crate) struct TimerScheduler(JobScheduler);

impl TimerScheduler {
    pub(crate) async fn start() -> Result<Self, EdgeTimerError> {
        let scheduler = JobScheduler::new().await.map_err(|source| EdgeTimerError {
            what: "made",
            source,
        })?;
        scheduler.start().await.map_err(|source| EdgeTimerError {
            what: "started",
            source,
        })?;
        Ok(Self(scheduler))
    }

    /// Stops all jobs.
    pub(crate) async fn shut_down(mut self) {
        if let Err(error) = self.0.shutdown().await {
            warn!(%error, "edge timer did not shut down cleanly");
        }
    }
}

/// Why a pass is run. It does not influence the decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TriggerReason {
    /// The instant that the timer was armed for has come.
    Edge { at: Timestamp },
}

/// Wakes the reconcile task once, at the instant it is armed for.
pub(crate) struct EdgeTimer {
    scheduler: JobScheduler,
    armed: Option<(Timestamp, Uuid)>,
    wake: mpsc::Sender<TriggerReason>,
    clock: Clock,
}

impl EdgeTimer {
    pub(crate) fn new(
        scheduler: &TimerScheduler,
        wake: mpsc::Sender<TriggerReason>,
        clock: Clock,
    ) -> Self {
        Self {
            scheduler: scheduler.0.clone(),
            armed: None,
            wake,
            clock,
        }
    }

    /// Arms the timer for `at`, replacing the previous instant.
    pub(crate) async fn arm(&mut self, at: Option<Timestamp>) -> Result<(), EdgeTimerError> {
        if self.armed.map(|(armed, _)| armed) == at {
            return Ok(());
        }
        if let Some((_, job)) = self.armed.take()
            && let Err(error) = self.scheduler.remove(&job).await
        {
            // The job has fired and removed itself, and sleeps the remainder. An additional trigger is harmless.
            debug!(%error, "edge timer job is already gone");
        }
        let Some(at) = at else { return Ok(()) };
        let delay = Duration::try_from(at.duration_since(self.clock.now()))
            .unwrap_or_default()
            .saturating_sub(LEAD);
        let (wake, clock) = (self.wake.clone(), self.clock.clone());
        let job = Job::new_one_shot_async(delay, move |_, _| {
            let (wake, clock) = (wake.clone(), clock.clone());
            Box::pin(async move {
                while let Ok(rest) = Duration::try_from(at.duration_since(clock.now()))
                    && !rest.is_zero()
                {
                    tokio::time::sleep(rest.min(LEAD)).await;
                }
                // A full channel contains enough triggers: all of them lead to the same pass.
                let _ = wake.try_send(TriggerReason::Edge { at });
            })
        });
        let job = job.map_err(|source| EdgeTimerError {
            what: "armed",
            source,
        })?;
        let id = self
            .scheduler
            .add(job)
            .await
            .map_err(|source| EdgeTimerError {
                what: "armed",
                source,
            })?;
        self.armed = Some((at, id));
        Ok(())
    }

    /// Records that the timer fired and has to be armed again.
    pub(crate) fn fired(&mut self) {
        self.armed = None;
    }
}

impl Drop for EdgeTimer {
    /// Removes the job together with its timer.
    fn drop(&mut self) {
        if let Some((_, job)) = self.armed.take()
            && let Ok(runtime) = Handle::try_current()
        {
            let scheduler = self.scheduler.clone();
            runtime.spawn(async move {
                if let Err(error) = scheduler.remove(&job).await {
                    debug!(%error, "edge timer job is already gone");
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use curfew_model::wait_until;
    use jiff::ToSpan;

    #[tokio::test(flavor = "multi_thread")]
    async fn the_timer_fires_at_its_instant_and_can_be_armed_again_while_it_fires() {
        let clock = Clock::system();
        let (wake, mut trigger_reasons) = mpsc::channel(4);
        let scheduler = TimerScheduler::start().await.unwrap();
        let mut alarm = EdgeTimer::new(&scheduler, wake, clock.clone());
        let first = clock.now() + 1500.milliseconds();
        let second = first + 2.seconds();
        alarm.arm(Some(first)).await.unwrap();
        // By now the job has fired, and sleeps until the instant.
        tokio::time::sleep(Duration::from_millis(1200)).await;
        alarm.arm(Some(second)).await.unwrap();
        for at in [first, second] {
            assert_eq!(
                trigger_reasons.recv().await,
                Some(TriggerReason::Edge { at })
            );
            assert!(clock.now() >= at, "never early");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_panic_with_an_armed_timer_leaves_no_job_and_no_task() {
        let at_work = || Handle::current().metrics().num_alive_tasks();
        let mut scheduler = TimerScheduler::start().await.unwrap();
        wait_until("the scheduler has begun", || at_work() > 5).await;
        let before = at_work();
        for bug in 0..3 {
            let (wake, _trigger_reasons) = mpsc::channel(4);
            let here = scheduler.clone();
            let dying = tokio::spawn(async move {
                let clock = Clock::system();
                let mut alarm = EdgeTimer::new(&here, wake, clock.clone());
                alarm.arm(Some(clock.now() + 1.hour())).await.unwrap();
                assert_eq!(bug, -1, "a bug");
            });
            assert!(dying.await.unwrap_err().is_panic());
        }
        wait_until("its tasks are as many as before", || at_work() <= before).await;
        let left = scheduler.0.time_till_next_job().await.unwrap();
        assert_eq!(left, None, "nothing is armed");
        scheduler.shut_down().await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_disarmed_timer_does_not_fire() {
        let clock = Clock::system();
        let (wake, mut trigger_reasons) = mpsc::channel(4);
        let scheduler = TimerScheduler::start().await.unwrap();
        let mut alarm = EdgeTimer::new(&scheduler, wake, clock.clone());
        alarm.arm(Some(clock.now() + 4.seconds())).await.unwrap();
        alarm.arm(None).await.unwrap();
        let silence = tokio::time::timeout(Duration::from_secs(5), trigger_reasons.recv()).await;
        assert!(silence.is_err(), "{silence:?}");
    }
}
