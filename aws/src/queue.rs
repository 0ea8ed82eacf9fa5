//! Sending to a queue of SQS.

use aws_smithy_runtime_api::box_error::BoxError;
use serde::Deserialize;
use serde_json::json;

use crate::connect::Connection;
use crate::error::{CloudError, CloudErrorKind};
use crate::service::{Action, Call, Protocol};

const SEND_MESSAGE_BATCH: Action = Action {
    service: "SQS",
    host: "sqs",
    name: "SendMessageBatch",
    protocol: Protocol::Json {
        content_type: "application/x-amz-json-1.0",
        target: "AmazonSQS",
        query_compatible: true,
    },
};

/// A queue to send to.
#[derive(Clone, Debug)]
pub struct Queue {
    send: Call<Sent>,
    url: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Sent {
    failed: Option<Vec<Unsent>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Unsent {
    code: String,
    message: Option<String>,
}

impl Queue {
    /// `SendMessageBatch` takes so many messages.
    /// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessageBatch.html>
    pub const BATCH: usize = 10;

    /// The queue of that URL.
    pub fn new(connection: &Connection, url: impl Into<String>) -> Self {
        Self {
            send: SEND_MESSAGE_BATCH.by(&connection.sdk, &connection.calls, read),
            url: url.into(),
        }
    }

    /// `SendMessageBatch`, of at most [`Self::BATCH`] bodies. After a failure some of them may be in the queue.
    pub async fn send(&self, bodies: &[String]) -> Result<(), CloudError> {
        // What a policy has to allow.
        let operation = "sqs:SendMessage";
        let entries = bodies.iter().enumerate();
        let entries =
            entries.map(|(number, body)| json!({ "Id": number.to_string(), "MessageBody": body }));
        let question = json!({ "QueueUrl": self.url, "Entries": entries.collect::<Vec<_>>() });
        let answer = self
            .send
            .invoke(question.to_string())
            .await
            .map_err(|error| CloudError::from_sdk(operation, error))?;
        match answer.failed.unwrap_or_default().first() {
            None => Ok(()),
            Some(Unsent { code, message }) => Err(CloudError::new(
                operation,
                CloudErrorKind::Service,
                message.as_deref().unwrap_or(code),
            )),
        }
    }
}

fn read(body: &[u8]) -> Result<Sent, BoxError> {
    Ok(serde_json::from_slice(body)?)
}
