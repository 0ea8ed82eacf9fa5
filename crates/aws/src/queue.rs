//! Sends messages to a FIFO queue of SQS.

use aws_smithy_runtime_api::box_error::BoxError;
use serde::Deserialize;
use serde_json::json;

use crate::connect::Connection;
use crate::error::{CloudError, CloudErrorKind};
use crate::minimal_client::{ActionClient, Protocol, ServiceAction};

const SEND_MESSAGE_BATCH: ServiceAction = ServiceAction {
    service: "SQS",
    host: "sqs",
    name: "SendMessageBatch",
    protocol: Protocol::Json {
        content_type: "application/x-amz-json-1.0",
        target: "AmazonSQS",
        query_compatible: true,
    },
};

/// A client that sends to one queue.
#[derive(Clone, Debug)]
pub struct Queue {
    send: ActionClient<SendBatchResult>,
    url: String,
}

/// A message for a FIFO queue.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/FIFO-queues-understanding-logic.html>
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FifoMessage {
    /// The text of the message.
    pub body: String,
    /// Messages of one group are received in order. At most 128 ASCII letters, digits and punctuation.
    pub group: String,
    /// SQS drops further messages with the same id for five minutes, whatever happened to the first. Same characters as
    /// `group`.
    pub deduplication: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SendBatchResult {
    failed: Option<Vec<FailedEntry>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct FailedEntry {
    code: String,
    message: Option<String>,
}

impl Queue {
    /// `SendMessageBatch` takes so many messages.
    /// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessageBatch.html>
    pub const BATCH: usize = 10;

    /// A client for the queue at this URL. Makes no call.
    pub fn new(connection: &Connection, url: impl Into<String>) -> Self {
        Self {
            send: SEND_MESSAGE_BATCH.by(&connection.sdk, &connection.calls, read),
            url: url.into(),
        }
    }

    /// `SendMessageBatch`, with at most [`Self::BATCH`] messages. After a failure, some of them may have been sent.
    pub async fn send(&self, messages: &[FifoMessage]) -> Result<(), CloudError> {
        // The IAM action, which differs from the operation's name.
        let operation = "sqs:SendMessage";
        let entries = messages.iter().enumerate().map(|(number, message)| {
            json!({
                "Id": number.to_string(),
                "MessageBody": message.body,
                "MessageGroupId": message.group,
                "MessageDeduplicationId": message.deduplication,
            })
        });
        let request = json!({ "QueueUrl": self.url, "Entries": entries.collect::<Vec<_>>() });
        let response = self
            .send
            .invoke(request.to_string())
            .await
            .map_err(|error| CloudError::from_sdk(operation, error))?;
        match response.failed.unwrap_or_default().first() {
            None => Ok(()),
            Some(FailedEntry { code, message }) => Err(CloudError::new(
                operation,
                CloudErrorKind::Service,
                message.as_deref().unwrap_or(code),
            )),
        }
    }
}

fn read(body: &[u8]) -> Result<SendBatchResult, BoxError> {
    Ok(serde_json::from_slice(body)?)
}
