//! SQS's JSON protocol: the action in a header, its members as JSON, errors under two names (*Amazon SQS JSON protocol*).
//!
//! MD5 sums of bodies are omitted: the SDKs in use do not require them.

use serde_json::{Map, Value, json};

use super::outgoing::OutgoingResponse;
use crate::error::ModelError;
use crate::queue::{BatchResult, MessageEntry, ModelQueueMessage, QueueCall};
use crate::request::{ApiRequest, ModelResponse};

/// The prefix of the action's name in `X-Amz-Target`.
const PREFIX: &str = "AmazonSQS.";

pub(super) fn parse(target: &str, body: &[u8]) -> (String, Result<ApiRequest, ModelError>) {
    let name = target.strip_prefix(PREFIX).unwrap_or(target).to_owned();
    let members = serde_json::from_slice::<Map<String, Value>>(body).map_err(|_| {
        ModelError::client("SerializationException", "The body is not a JSON object.")
    });
    let call = members.and_then(|members| read(&name, &JsonMembers(&members)));
    (name, call.map(ApiRequest::Queue))
}

fn read(name: &str, members: &JsonMembers<'_>) -> Result<QueueCall, ModelError> {
    if name == "GetQueueUrl" {
        let name = members.text("QueueName")?;
        return Ok(QueueCall::Url { name });
    }
    let url = members.text("QueueUrl")?;
    Ok(match name {
        "SendMessage" => QueueCall::Send {
            url,
            entry: read_message(members)?,
        },
        "SendMessageBatch" => QueueCall::SendBatch {
            url,
            entries: members.entries(read_message)?,
        },
        "ReceiveMessage" => QueueCall::Receive {
            url,
            max: members.number("MaxNumberOfMessages")?.unwrap_or(1),
            visibility: members.seconds("VisibilityTimeout")?,
            wait: members.seconds("WaitTimeSeconds")?.unwrap_or_default(),
        },
        "DeleteMessage" => QueueCall::Delete {
            url,
            receipt: members.text("ReceiptHandle")?,
        },
        "DeleteMessageBatch" => QueueCall::DeleteBatch {
            url,
            entries: members
                .entries(|entry| Ok((entry.text("Id")?, entry.text("ReceiptHandle")?)))?,
        },
        "ChangeMessageVisibility" => QueueCall::ChangeVisibility {
            url,
            receipt: members.text("ReceiptHandle")?,
            seconds: members
                .seconds("VisibilityTimeout")?
                .ok_or_else(|| ModelError::missing_parameter("VisibilityTimeout"))?,
        },
        "GetQueueAttributes" => QueueCall::Counts { url },
        _ => return Err(ModelError::invalid_action(name, "2012-11-05")),
    })
}

/// The members of a JSON structure.
struct JsonMembers<'a>(&'a Map<String, Value>);

impl JsonMembers<'_> {
    fn text(&self, name: &str) -> Result<String, ModelError> {
        self.0
            .get(name)
            .and_then(Value::as_str)
            .map(str::to_owned)
            .ok_or_else(|| ModelError::missing_parameter(name))
    }

    fn number(&self, name: &str) -> Result<Option<i64>, ModelError> {
        let value = self.0.get(name).filter(|value| !value.is_null());
        value
            .map(|value| {
                value
                    .as_i64()
                    .ok_or_else(|| ModelError::invalid_value(format!("{name} is not a number")))
            })
            .transpose()
    }

    fn seconds(&self, name: &str) -> Result<Option<u32>, ModelError> {
        self.number(name)?
            .map(|value| {
                u32::try_from(value)
                    .map_err(|_| ModelError::invalid_value(format!("{name} is out of range")))
            })
            .transpose()
    }

    fn entries<T>(
        &self,
        read: impl Fn(&JsonMembers<'_>) -> Result<T, ModelError>,
    ) -> Result<Vec<T>, ModelError> {
        self.0
            .get("Entries")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_object)
            .map(|entry| read(&JsonMembers(entry)))
            .collect()
    }
}

fn read_message(members: &JsonMembers<'_>) -> Result<MessageEntry, ModelError> {
    Ok(MessageEntry {
        name: members.text("Id").unwrap_or_default(),
        body: members.text("MessageBody")?,
        delay: members.seconds("DelaySeconds")?.unwrap_or_default(),
        group: members.text("MessageGroupId").ok(),
        deduplication: members.text("MessageDeduplicationId").ok(),
    })
}

pub(super) fn outgoing(
    request_id: &str,
    result: &Result<ModelResponse, ModelError>,
) -> OutgoingResponse {
    let mut headers = vec![
        ("content-type", "application/x-amz-json-1.0".to_owned()),
        ("x-amzn-requestid", request_id.to_owned()),
    ];
    let (status, body) = match result {
        Ok(answer) => (200, render(answer)),
        Err(error) => {
            headers.push(("x-amzn-query-error", format!("{};Sender", error.code)));
            let body = json!({
                "__type": format!("com.amazonaws.sqs#{}", shape(&error.code)),
                "message": error.message,
            });
            (error.status, body)
        }
    };
    OutgoingResponse {
        status,
        headers,
        body: body.to_string(),
    }
}

/// Maps an error's name in the query protocol to its name in the JSON protocol.
fn shape(code: &str) -> &str {
    match code {
        "AWS.SimpleQueueService.NonExistentQueue" => "QueueDoesNotExist",
        other => other.rsplit('.').next().unwrap_or(other),
    }
}

fn render(answer: &ModelResponse) -> Value {
    match answer {
        ModelResponse::Sent(id) => json!({ "MessageId": id }),
        ModelResponse::Received(messages) if !messages.is_empty() => {
            json!({ "Messages": messages.iter().map(message).collect::<Vec<_>>() })
        }
        ModelResponse::Batch(done) => batch(done),
        ModelResponse::QueueUrl(url) => json!({ "QueueUrl": url }),
        ModelResponse::Counts(counts) => json!({ "Attributes": {
            "ApproximateNumberOfMessages": counts.visible.to_string(),
            "ApproximateNumberOfMessagesNotVisible": counts.in_flight.to_string(),
            "ApproximateNumberOfMessagesDelayed": counts.delayed.to_string(),
        } }),
        _ => json!({}),
    }
}

fn message(message: &ModelQueueMessage) -> Value {
    json!({
        "MessageId": message.id,
        "ReceiptHandle": message.receipt(),
        "Body": message.body,
        "Attributes": {
            "ApproximateReceiveCount": message.receives.to_string(),
            "SentTimestamp": message.sent_at.as_millisecond().to_string(),
        },
    })
}

fn batch(batch: &BatchResult) -> Value {
    let done = batch.done.iter().map(|(name, id)| match id {
        Some(id) => json!({ "Id": name, "MessageId": id }),
        None => json!({ "Id": name }),
    });
    let failed = batch.failed.iter().map(|(name, error)| {
        json!({ "Id": name, "Code": shape(&error.code), "Message": error.message, "SenderFault": true })
    });
    json!({ "Successful": done.collect::<Vec<_>>(), "Failed": failed.collect::<Vec<_>>() })
}
