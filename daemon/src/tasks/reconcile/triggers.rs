//! Triggers that the daemon sends to the cloud: when an edge is overdue, the Lambda gets another trigger before the daemon
//! acts itself.

use std::sync::Arc;

use aws_sdk_sqs::Client;
use curfew_aws::connect::Connection;
use curfew_aws::error::CloudError;
use curfew_core::stack_name::StackName;
use curfew_core::work::Work;
use curfew_deploy::StackQueue;
use tokio::sync::OnceCell;

use crate::tasks::sqs::{config, queue_url};

/// Sends messages to the work queue of a stack. Clones share its address.
#[derive(Clone, Debug)]
pub struct Triggers {
    client: Client,
    name: String,
    url: Arc<OnceCell<String>>,
}

impl Triggers {
    /// Returns the queue that `deploy` creates for a stack.
    pub fn of_stack(connection: &Connection, stack: &StackName) -> Self {
        Self {
            client: Client::from_conf(config(connection).build()),
            name: StackQueue::Work.name(stack),
            url: Arc::default(),
        }
    }

    /// Requests a pass. Returns whether the queue exists; it does not without a stack.
    pub(crate) async fn send(&self, work: &Work) -> Result<bool, CloudError> {
        let Some(url) = self.url().await? else {
            return Ok(false);
        };
        self.client
            .send_message()
            .queue_url(url)
            .message_body(work.to_message())
            .message_group_id(work.group())
            .message_deduplication_id(work.daemon_deduplication())
            .send()
            .await
            .map_err(|error| CloudError::from_sdk("sqs:SendMessage", error))?;
        Ok(true)
    }

    async fn url(&self) -> Result<Option<String>, CloudError> {
        if let Some(url) = self.url.get() {
            return Ok(Some(url.clone()));
        }
        let found = queue_url(&self.client, &self.name).await?;
        if let Some(url) = &found {
            // A concurrent call may have set the same URL already.
            let _ = self.url.set(url.clone());
        }
        Ok(found)
    }
}
