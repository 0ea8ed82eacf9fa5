//! The sources of observations, and the loop that forwards them; a source that fails is retried with a growing delay.

use std::time::Duration;

use curfew_aws::error::CloudError;
use curfew_aws::organisation::AccountRegionError;
use tokio::sync::mpsc;
use tracing::{info, warn};

use crate::backoff::Backoff;
use crate::supervisor::TaskContext;
use crate::transitions::InstanceObservation;

/// An observation, including the write of its transitions, takes at most this long unless it hangs: a hundred thousand
/// instances take a few minutes when EC2 is slow.
pub(crate) const STALLED_AFTER: Duration = Duration::from_mins(15);

/// A source of observations: polling, or the queue of state changes.
pub(crate) trait ObservationSource: Send {
    /// Waits until the next observation is due.
    fn wait(&mut self) -> impl Future<Output = ()> + Send;

    /// Makes the next observation. Must be cancel-safe.
    fn next(&mut self) -> impl Future<Output = Result<InstanceObservation, SourceError>> + Send;
}

/// An error of an observation's source.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SourceError {
    /// EC2 failed in an account-region.
    #[error(transparent)]
    AccountRegion(#[from] AccountRegionError),
    /// The queue of state changes failed.
    #[error("the queue of state changes: {0}")]
    Queue(CloudError),
}

impl SourceError {
    /// Returns what an operator can do about it.
    pub(crate) fn hint(&self) -> String {
        match self {
            Self::AccountRegion(error) => error.hint(),
            Self::Queue(error) => error.hint().to_owned(),
        }
    }
}

/// Forwards what `source` observes to the watch task until the shutdown.
pub(crate) async fn forward(
    source: &mut impl ObservationSource,
    observations: &mpsc::Sender<InstanceObservation>,
    ctx: &TaskContext,
) {
    let TaskContext {
        health, shutdown, ..
    } = ctx;
    let mut backoff = Backoff::default();
    loop {
        health.waiting();
        if shutdown.run_until_cancelled(source.wait()).await.is_none() {
            return;
        }
        health.expect_within(STALLED_AFTER);
        let Some(next) = shutdown.run_until_cancelled(source.next()).await else {
            return;
        };
        match next {
            Ok(observation) => {
                if backoff.after_success() {
                    info!("polling recovered");
                }
                if observations.send(observation).await.is_err() {
                    return;
                }
                health.ok();
            }
            Err(error) => {
                let wait = backoff.after_failure();
                let (failures, retry_seconds) = (backoff.failures(), wait.as_secs());
                warn!(%error, hint = error.hint(), failures, retry_seconds, "polling failed");
                let waited = shutdown.run_until_cancelled(tokio::time::sleep(wait));
                if waited.await.is_none() {
                    return;
                }
            }
        }
    }
}
