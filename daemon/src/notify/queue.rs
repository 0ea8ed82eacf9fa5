//! A bounded queue of notifications for one destination.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::Notification;

/// The capacity: an edge of a large fleet, some 5 MB. The journal has whatever a dead destination has missed beyond that;
/// more would only delay the newest notifications.
const CAPACITY: usize = 10_000;

/// The most notifications in one message. Slack truncates a text at 40,000 characters and SNS rejects 256 KB: a hundred are a
/// fourth of that.
const BATCH: usize = 100;

/// How long to collect further notifications after the first one: fifty instances that stop are one message, not fifty, and a
/// Slack webhook accepts about one a second.
const COLLECT: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub(super) struct NotificationQueue {
    state: Mutex<QueueState>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct QueueState {
    waiting: VecDeque<Notification>,
    /// Notifications that are being delivered.
    under_way: usize,
    /// Notifications dropped since the last message that reported it.
    dropped: u64,
    closed: bool,
}

/// The content of one message.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct NotificationBatch {
    pub(super) notifications: Vec<Notification>,
    /// How many earlier notifications were dropped.
    pub(super) dropped: u64,
}

impl NotificationQueue {
    /// Adds a notification; a full queue drops its oldest one.
    pub(super) fn push(&self, notification: Notification) {
        let mut state = self.lock();
        if state.waiting.len() == CAPACITY {
            state.waiting.pop_front();
            state.dropped += 1;
        }
        state.waiting.push_back(notification);
        drop(state);
        self.changed.notify_one();
    }

    /// Marks the end: nothing more will be added.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_one();
    }

    /// Waits for notifications, and returns the oldest; `None` when the queue is closed and empty.
    pub(super) async fn next(&self) -> Option<NotificationBatch> {
        loop {
            let (is_empty, closed) = {
                let state = self.lock();
                (state.waiting.is_empty(), state.closed)
            };
            match (is_empty, closed) {
                (true, true) => return None,
                (true, false) => self.changed.notified().await,
                (false, true) => break,
                (false, false) => {
                    tokio::time::sleep(COLLECT).await;
                    break;
                }
            }
        }
        let mut state = self.lock();
        let some = state.waiting.len().min(BATCH);
        let notifications: Vec<Notification> = state.waiting.drain(..some).collect();
        state.under_way = notifications.len();
        let dropped = std::mem::take(&mut state.dropped);
        Some(NotificationBatch {
            notifications,
            dropped,
        })
    }

    /// Marks the last batch as processed.
    pub(super) fn done(&self) {
        self.lock().under_way = 0;
    }

    /// The number of notifications that are not processed.
    pub(super) fn left(&self) -> usize {
        let state = self.lock();
        state.waiting.len() + state.under_way
    }

    /// The number of dropped notifications since the last batch was taken.
    pub(super) fn dropped(&self) -> u64 {
        self.lock().dropped
    }

    /// Returns the state even if a thread panicked with the lock: each change is complete at once.
    fn lock(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;

    fn notification(number: i64) -> Notification {
        Notification::test(Timestamp::from_second(number).unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn notifications_of_one_second_are_one_batch_and_the_oldest_is_dropped_first() {
        let queue = NotificationQueue::default();
        for number in 0..10_150 {
            queue.push(notification(number));
        }
        assert_eq!((queue.left(), queue.dropped()), (CAPACITY, 150));
        let batch = queue.next().await.unwrap();
        assert_eq!(batch.dropped, 150);
        assert_eq!(batch.notifications.len(), BATCH);
        assert_eq!(batch.notifications[0], notification(150));
        assert_eq!(queue.left(), CAPACITY, "until they are delivered");
        queue.done();
        assert_eq!((queue.left(), queue.dropped()), (CAPACITY - BATCH, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_closed_queue_is_emptied_and_then_ends() {
        let queue = NotificationQueue::default();
        queue.push(notification(1));
        queue.close();
        assert_eq!(queue.next().await.unwrap().notifications, [notification(1)]);
        assert_eq!(queue.next().await, None);
    }
}
