//! A notifier for tests, which read its notifications.

use curfew_config::notify::NotificationEvent;
use curfew_config::{Destination, NotifyConfiguration};
use std::sync::Arc;
use std::time::Duration;

use super::queue::NotificationQueue;
use super::{Notification, Notifier, Subscription, Subscriptions};

/// A destination that accepts everything, and is never called.
pub(crate) struct TestSink(Arc<NotificationQueue>);

impl TestSink {
    pub(crate) fn new() -> (Notifier, Self) {
        let queue = Arc::new(NotificationQueue::default());
        let outlet = Subscription {
            wanted: NotifyConfiguration {
                destination: Destination::Webhook("https://chat.example/x".parse().unwrap()),
                events: NotificationEvent::ALL.into(),
                schedules: [].into(),
            },
            queue: Arc::clone(&queue),
        };
        (Notifier(Arc::new(Subscriptions(vec![outlet]))), Self(queue))
    }

    /// Returns the sentences of the notifications since the last call.
    pub(crate) async fn sentences(&self) -> Vec<String> {
        /// Longer than a queue collects.
        const SILENCE: Duration = Duration::from_secs(2);
        let mut sentences = Vec::new();
        while let Ok(Some(batch)) = tokio::time::timeout(SILENCE, self.0.next()).await {
            sentences.extend(batch.notifications.iter().map(Notification::sentence));
            self.0.done();
        }
        sentences
    }
}
