//! The queue: what is sent to it, and what comes back from it.

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::SendMessageBatchRequestEntry;
use curfew_aws::connect::Connection;
use curfew_aws::error::{CloudError, CloudErrorKind};
use curfew_aws::side_by_side::side_by_side;

use crate::message::Work;

/// The queue whose messages wake this function.
#[derive(Debug)]
pub struct WorkQueue {
    client: Client,
    url: String,
}

impl WorkQueue {
    /// `SendMessageBatch` takes so many.
    /// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessageBatch.html>
    const BATCH: usize = 10;
    /// Batches that are sent at the same time: a thousand members are a hundred batches of about 15 ms.
    const SIDE_BY_SIDE: usize = 16;

    /// The queue at that address.
    pub fn new(connection: &Connection, url: impl Into<String>) -> Self {
        Self {
            client: Client::new(&connection.sdk),
            url: url.into(),
        }
    }

    /// Hands on all of `work`. After a failure some of it may be in the queue: harmless, since work may be done twice.
    pub(super) async fn send(&self, work: &[Work]) -> Result<(), CloudError> {
        let batches = work.chunks(Self::BATCH).map(|batch| self.send_batch(batch));
        let sent = side_by_side(batches, Self::SIDE_BY_SIDE).await;
        sent.into_iter().collect()
    }

    async fn send_batch(&self, work: &[Work]) -> Result<(), CloudError> {
        let operation = "sqs:SendMessage";
        let entries = work.iter().enumerate().map(|(number, work)| {
            SendMessageBatchRequestEntry::builder()
                .id(number.to_string())
                .message_body(work.to_message())
                .build()
                .expect("an id and a body are all that an entry needs")
        });
        let call = self.client.send_message_batch().queue_url(&self.url);
        let answer = call
            .set_entries(Some(entries.collect()))
            .send()
            .await
            .map_err(|error| CloudError::from_sdk(operation, error))?;
        match answer.failed.first() {
            None => Ok(()),
            Some(refused) => Err(CloudError::new(
                operation,
                CloudErrorKind::Service,
                refused.message.as_deref().unwrap_or(&refused.code),
            )),
        }
    }
}
