//! The queue: what is sent to it, and what comes back from it.

use curfew_aws::connect::Connection;
use curfew_aws::error::CloudError;
use curfew_aws::queue::Queue;
use curfew_aws::side_by_side::side_by_side;

use crate::message::Work;

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
    pub(super) async fn send(&self, work: &[Work]) -> Result<(), CloudError> {
        let batches = work.chunks(Queue::BATCH).map(|batch| async {
            let bodies: Vec<String> = batch.iter().map(Work::to_message).collect();
            self.queue.send(&bodies).await
        });
        let sent = side_by_side(batches, Self::SIDE_BY_SIDE).await;
        sent.into_iter().collect()
    }
}
