//! The queue: what is sent to it, and what comes back from it.

use curfew_aws::connect::Connection;
use curfew_aws::error::CloudError;
use curfew_aws::join_bounded::join_bounded;
use curfew_aws::queue::{FifoMessage, Queue};
use curfew_core::work::Work;

/// The queue whose messages wake this function.
#[derive(Debug)]
pub struct WorkQueue {
    queue: Queue,
}

impl WorkQueue {
    /// Batches that are sent at the same time: a thousand members are a hundred batches of about 15 ms.
    const SIDE_BY_SIDE: usize = 16;

    /// The queue at that address.
    pub fn new(connection: &Connection, url: impl Into<String>) -> Self {
        Self {
            queue: Queue::new(connection, url),
        }
    }

    /// Hands on all of `work`. After a failure some of it may be in the queue: harmless, since work may be done twice.
    pub(crate) async fn send(&self, work: &[Work]) -> Result<(), CloudError> {
        let messages: Vec<FifoMessage> = work.iter().map(message).collect();
        let batches = messages.chunks(Queue::BATCH);
        let batches = batches.map(|batch| self.queue.send(batch));
        let sent = join_bounded(batches, Self::SIDE_BY_SIDE).await;
        sent.into_iter().collect()
    }

    /// Hands on a pass that one event leads to, however often it is delivered.
    pub(crate) async fn send_for(&self, event: &str, work: &Work) -> Result<(), CloudError> {
        let mut message = message(work);
        if !event.is_empty() {
            message.deduplication = event.to_owned();
        }
        self.queue.send(&[message]).await
    }
}

fn message(work: &Work) -> FifoMessage {
    FifoMessage {
        body: work.to_message(),
        group: work.group(),
        deduplication: work.deduplication(),
    }
}
