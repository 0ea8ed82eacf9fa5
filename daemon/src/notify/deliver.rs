//! Delivers the notifications of one destination, one message after the other, until each is accepted or permanently
//! rejected.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::Notification;
use super::message::NotificationMessage;
use super::queue::{NotificationBatch, NotificationQueue};
use super::transport::{SendError, Transport};
use crate::backoff::Backoff;

/// How long after the shutdown waiting notifications are still delivered: a healthy destination accepts all of them within
/// it, and a dead one must not delay the service's stop.
const DRAIN: Duration = Duration::from_secs(5);

/// The longest `Retry-After` that is honoured.
const LONGEST_RETRY_AFTER: Duration = Duration::from_mins(5);

/// One destination with its queue.
#[derive(Clone, Debug)]
pub struct Delivery {
    pub(super) transport: Transport,
    pub(super) queue: Arc<NotificationQueue>,
}

impl Delivery {
    /// Returns the destination's name without secrets.
    pub fn destination(&self) -> String {
        self.transport.to_string()
    }

    /// Sends a test notification at once, past the queue and without retries.
    pub async fn test(&self, now: Timestamp) -> Result<(), SendError> {
        let batch = NotificationBatch {
            notifications: vec![Notification::test(now)],
            dropped: 0,
        };
        self.transport.send(&NotificationMessage::of(&batch)).await
    }

    /// Delivers until every notifier is dropped and the queue is empty, or for a bounded time after the shutdown.
    pub async fn run(self, shutdown: CancellationToken) {
        let drain_time = async {
            shutdown.cancelled().await;
            sleep(DRAIN).await;
        };
        tokio::select! {
            () = self.deliver_all() => {}
            () = drain_time => {}
        }
        let left = self.queue.left();
        if left > 0 {
            warn!(destination = %self.transport, notifications = left, "notifications undelivered at shutdown");
        }
    }

    async fn deliver_all(&self) {
        let mut backoff = Backoff::default();
        while let Some(batch) = self.queue.next().await {
            if batch.dropped > 0 {
                warn!(destination = %self.transport, dropped = batch.dropped, "notification queue full; oldest notifications dropped");
            }
            self.deliver(&NotificationMessage::of(&batch), &mut backoff)
                .await;
            self.queue.done();
        }
    }

    async fn deliver(&self, message: &NotificationMessage, backoff: &mut Backoff) {
        let destination = &self.transport;
        let notifications = message.notifications;
        loop {
            let error = match self.transport.send(message).await {
                Ok(()) => {
                    if backoff.after_success() {
                        info!(%destination, "notification delivery recovered");
                    }
                    return;
                }
                Err(error) => error,
            };
            if !error.is_transient() {
                error!(%destination, error = error.display_chain(), notifications, "notifications rejected; dropping them");
                return;
            }
            let wait = jittered(backoff.after_failure());
            let requested = error
                .retry_after()
                .unwrap_or_default()
                .min(LONGEST_RETRY_AFTER);
            let wait = wait.max(requested);
            let (failures, retry_seconds) = (backoff.failures(), wait.as_secs_f64());
            let dropped = self.queue.dropped();
            warn!(%destination, error = error.display_chain(), notifications, failures, retry_seconds, waiting = self.queue.left(), dropped,
                  "notification delivery failed; retrying");
            sleep(wait).await;
        }
    }
}

/// Between half of the delay and all of it: destinations that failed together are not retried together.
fn jittered(wait: Duration) -> Duration {
    wait.mul_f64(0.5 + fastrand::f64() / 2.0)
}
