//! The alarm clock: one job of tokio-cron-scheduler, armed for the next instant that something is due.
//!
//! The scheduler is given UTC instants that `core` computed, never a zone: it freezes a zone's offset when a job is made (its
//! issue 107), which is an hour off after a clock change. It compares with the wall clock twice a second, so it survives a
//! suspended machine and a clock that is set; it knows whole seconds only, so the last stretch is slept exactly.

use std::time::Duration;

use curfew_aws::clock::Clock;
use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio_cron_scheduler::{Job, JobScheduler, JobSchedulerError};
use tracing::debug;
use uuid::Uuid;

use super::reconcile::WakeReason;

/// The job fires this long before the instant. It may be a second and a half off: it drops fractions and looks every half second.
const LEAD: Duration = Duration::from_secs(2);

/// An alarm clock that does not work.
#[derive(Debug, thiserror::Error)]
#[error("the job scheduler can't be {what}")]
pub struct AlarmError {
    what: &'static str,
    source: JobSchedulerError,
}

/// Wakes the reconcile task once, at the instant it is armed for.
pub(super) struct Alarm {
    scheduler: JobScheduler,
    armed: Option<(Timestamp, Uuid)>,
    wake: mpsc::Sender<WakeReason>,
    clock: Clock,
}

impl Alarm {
    pub(super) async fn new(
        wake: mpsc::Sender<WakeReason>,
        clock: Clock,
    ) -> Result<Self, AlarmError> {
        let scheduler = JobScheduler::new().await.map_err(|source| AlarmError {
            what: "made",
            source,
        })?;
        scheduler.start().await.map_err(|source| AlarmError {
            what: "started",
            source,
        })?;
        Ok(Self {
            scheduler,
            armed: None,
            wake,
            clock,
        })
    }

    /// Arms the alarm for `at`, and for nothing else.
    pub(super) async fn arm(&mut self, at: Option<Timestamp>) -> Result<(), AlarmError> {
        if self.armed.map(|(armed, _)| armed) == at {
            return Ok(());
        }
        if let Some((_, job)) = self.armed.take()
            && let Err(error) = self.scheduler.remove(&job).await
        {
            // It has fired and removed itself, and waits out its last stretch. A wake-up too many is harmless.
            debug!(%error, "the alarm's job is gone already");
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
                // A full channel holds wake-ups enough: they all lead to the same pass.
                let _ = wake.try_send(WakeReason::Alarm { at });
            })
        });
        let job = job.map_err(|source| AlarmError {
            what: "armed",
            source,
        })?;
        let id = self.scheduler.add(job).await.map_err(|source| AlarmError {
            what: "armed",
            source,
        })?;
        self.armed = Some((at, id));
        Ok(())
    }

    /// The alarm went off: whatever comes next needs arming.
    pub(super) fn spent(&mut self) {
        self.armed = None;
    }

    pub(super) async fn shut_down(mut self) -> Result<(), AlarmError> {
        self.scheduler
            .shutdown()
            .await
            .map_err(|source| AlarmError {
                what: "shut down",
                source,
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::ToSpan;

    #[tokio::test(flavor = "multi_thread")]
    async fn it_goes_off_at_its_instant_and_can_be_set_anew_even_while_it_is_going_off() {
        let clock = Clock::system();
        let (wake, mut wake_ups) = mpsc::channel(4);
        let mut alarm = Alarm::new(wake, clock.clone()).await.unwrap();
        let first = clock.now() + 1500.milliseconds();
        let second = first + 2.seconds();
        alarm.arm(Some(first)).await.unwrap();
        // By now its job has fired, and waits for the instant itself.
        tokio::time::sleep(Duration::from_millis(1200)).await;
        alarm.arm(Some(second)).await.unwrap();
        for at in [first, second] {
            assert_eq!(wake_ups.recv().await, Some(WakeReason::Alarm { at }));
            assert!(clock.now() >= at, "never early");
        }
        alarm.shut_down().await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_alarm_that_was_switched_off_stays_silent() {
        let clock = Clock::system();
        let (wake, mut wake_ups) = mpsc::channel(4);
        let mut alarm = Alarm::new(wake, clock.clone()).await.unwrap();
        alarm.arm(Some(clock.now() + 4.seconds())).await.unwrap();
        alarm.arm(None).await.unwrap();
        let silence = tokio::time::timeout(Duration::from_secs(5), wake_ups.recv()).await;
        assert!(silence.is_err(), "{silence:?}");
        alarm.shut_down().await.unwrap();
    }
}
