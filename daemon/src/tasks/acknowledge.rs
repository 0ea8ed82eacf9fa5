//! The deletion of messages from the queue of state changes, once their events are in the journal.

use std::collections::HashMap;

use aws_sdk_sqs::types::DeleteMessageBatchRequestEntry;
use curfew_aws::error::CloudError;
use tokio::sync::mpsc;
use tracing::warn;

use super::channels::Ack;
use super::queue::{BATCH, EventQueue, MAX_MESSAGES};
use crate::supervisor::{Task, TaskContext, TaskError};

/// Deletes the messages of recorded events.
#[derive(Debug)]
pub(crate) struct AcknowledgeTask {
    queue: EventQueue,
    acks: mpsc::UnboundedReceiver<Ack>,
    /// The newest receipt handle of each event that is not recorded yet.
    handles: HashMap<String, String>,
}

impl AcknowledgeTask {
    pub(crate) fn new(queue: EventQueue, acks: mpsc::UnboundedReceiver<Ack>) -> Self {
        Self {
            queue,
            acks,
            handles: HashMap::new(),
        }
    }

    /// Deletes messages until every sender is dropped.
    async fn delete_all(&mut self) {
        let mut received = Vec::new();
        while self.acks.recv_many(&mut received, MAX_MESSAGES).await > 0 {
            let mut handles = Vec::new();
            for ack in received.drain(..) {
                match ack {
                    Ack::Received { event, handle } => {
                        self.handles.insert(event, handle);
                    }
                    Ack::Finished { event } => handles.extend(self.handles.remove(&event)),
                    Ack::Poison { handle } => handles.push(handle),
                }
            }
            if let Err(error) = delete(&self.queue, handles).await {
                warn!(%error, hint = error.hint(), "processed messages could not be deleted; they will be delivered again");
            }
        }
    }
}

impl Task for AcknowledgeTask {
    const NAME: &'static str = "acknowledge";

    async fn run(&mut self, ctx: &TaskContext) -> Result<(), TaskError> {
        self.delete_all().await;
        // The senders are dropped at the shutdown only.
        ctx.shutdown.cancelled().await;
        Ok(())
    }
}

async fn delete(queue: &EventQueue, handles: Vec<String>) -> Result<(), CloudError> {
    if handles.is_empty() {
        return Ok(());
    }
    let Some(url) = queue.url().await? else {
        return Ok(());
    };
    for batch in handles.chunks(usize::try_from(BATCH).unwrap_or(1)) {
        let entries = batch.iter().enumerate().map(|(number, handle)| {
            DeleteMessageBatchRequestEntry::builder()
                .id(number.to_string())
                .receipt_handle(handle)
                .build()
                .expect("an id and a receipt are all that an entry needs")
        });
        let call = queue.client.delete_message_batch().queue_url(&url);
        call.set_entries(Some(entries.collect()))
            .send()
            .await
            .map_err(|error| CloudError::from_sdk("sqs:DeleteMessage", error))?;
    }
    Ok(())
}
