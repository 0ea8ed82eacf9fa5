//! Sends work to the stack's FIFO queue.

use curfew_aws::connect::Connection;
use curfew_aws::error::CloudError;
use curfew_aws::join_bounded::join_bounded;
use curfew_aws::queue::{FifoMessage, Queue};
use curfew_core::work::Work;

/// The queue that invokes this function with its messages.
#[derive(Debug)]
pub struct WorkQueue {
    queue: Queue,
}

impl WorkQueue {
    /// The number of batches sent concurrently. A thousand account-regions are a hundred batches of about 15 ms each.
    const CONCURRENT_BATCHES: usize = 16;

    /// Creates a client of the queue with this URL.
    pub fn new(connection: &Connection, url: impl Into<String>) -> Self {
        Self {
            queue: Queue::new(connection, url),
        }
    }

    /// Enqueues all of `work`. After a failure some of it may be enqueued, which is harmless: repeated work changes nothing.
    pub(crate) async fn send(&self, work: &[Work]) -> Result<(), CloudError> {
        let messages: Vec<FifoMessage> = work.iter().map(message).collect();
        let batches = messages.chunks(Queue::BATCH);
        let batches = batches.map(|batch| self.queue.send(batch));
        let sent = join_bounded(batches, Self::CONCURRENT_BATCHES).await;
        sent.into_iter().collect()
    }

    /// Enqueues the pass that an event causes, deduplicated by the event's id.
    pub(crate) async fn send_for_event(&self, event: &str, work: &Work) -> Result<(), CloudError> {
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
