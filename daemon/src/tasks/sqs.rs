//! The stack's queues, shared by several tasks: a client that counts its calls, and an address that is absent while nothing
//! is deployed.

use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::Builder;
use curfew_aws::connect::Connection;
use curfew_aws::error::CloudError;
use curfew_deploy::queue_does_not_exist;

/// Returns the configuration of a client that counts its calls.
pub(crate) fn config(connection: &Connection) -> Builder {
    Builder::from(&connection.sdk).interceptor(connection.calls.clone())
}

/// Returns the URL of the queue of this name; `None` if there is no such queue.
pub(crate) async fn queue_url(client: &Client, name: &str) -> Result<Option<String>, CloudError> {
    let answer = client.get_queue_url().queue_name(name).send().await;
    let answer = answer.map_err(|error| CloudError::from_sdk("sqs:GetQueueUrl", error));
    none_without_queue(answer.map(|answer| answer.queue_url))
}

/// Turns the error for a missing queue into `None`: without a stack there is no queue.
pub(crate) fn none_without_queue<T>(
    answer: Result<Option<T>, CloudError>,
) -> Result<Option<T>, CloudError> {
    match answer {
        Err(error) if queue_does_not_exist(&error) => Ok(None),
        answer => answer,
    }
}
