//! Notifications that wait for one destination: so many and no more.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::Notification;

/// Notifications that may wait: an edge of a whole large fleet, some 5 MB. What a dead destination has missed beyond that is in the
/// journal; more would only make it longer until the news are new again.
const CAPACITY: usize = 10_000;

/// Notifications in one message. Slack cuts a text at 40,000 characters and SNS refuses 256 KB: a hundred are a fourth of that.
const BATCH: usize = 100;

/// After the first notice, wait for what else the same edge brings: fifty instances that stop are one message, not fifty, and a
/// Slack webhook takes about one a second.
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
    /// Notifications dropped since the last message said so.
    dropped: u64,
    closed: bool,
}

/// What goes into one message.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct NotificationBatch {
    pub(super) notifications: Vec<Notification>,
    /// How many others were dropped before them.
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

    /// Nothing more will be added.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_one();
    }

    /// The next notifications, oldest first, once there are some; none, when there will be no more.
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

    /// The last batch has been dealt with.
    pub(super) fn done(&self) {
        self.lock().under_way = 0;
    }

    /// How many notifications have not been dealt with.
    pub(super) fn left(&self) -> usize {
        let state = self.lock();
        state.waiting.len() + state.under_way
    }

    /// How many were dropped since the last batch was taken.
    pub(super) fn dropped(&self) -> u64 {
        self.lock().dropped
    }

    /// Nothing of ours panics while it holds the lock, and half a change can't be seen.
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
    async fn what_comes_together_goes_together_and_the_oldest_is_dropped_first() {
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
