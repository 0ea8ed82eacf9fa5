//! Counts the messages in the queues of a stack, for the daemon's metrics and notifications and for `curfew doctor`, so that both
//! report the same numbers. Receives and deletes nothing.

use std::collections::BTreeMap;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::QueueAttributeName;
use curfew_aws::connect::Connection;
use curfew_aws::error::{CloudError, CloudErrorKind};
use curfew_core::stack_name::StackName;
use curfew_deploy::StackQueue;

use super::sqs::{config, none_without_queue, queue_url};

/// Counts the messages in the queues of one stack, and remembers the queues' URLs.
#[derive(Clone, Debug)]
pub struct QueueCounter {
    client: Client,
    stack: StackName,
    urls: BTreeMap<StackQueue, String>,
}

impl QueueCounter {
    /// Counts in the queues that `deploy` creates for a stack.
    pub fn of_stack(connection: &Connection, stack: &StackName) -> Self {
        Self {
            client: Client::from_conf(config(connection).build()),
            stack: stack.clone(),
            urls: BTreeMap::new(),
        }
    }

    /// Sets the URL of a queue, for callers that know it and may lack the permission to ask for it.
    pub fn set_url(&mut self, queue: StackQueue, url: String) {
        self.urls.insert(queue, url);
    }

    /// Returns the name of a queue.
    pub fn name(&self, queue: StackQueue) -> String {
        queue.name(&self.stack)
    }

    /// Returns the number of messages in a queue, including those that a `ReceiveMessage` has made invisible for a while;
    /// `None` if the queue does not exist.
    pub async fn count(&mut self, queue: StackQueue) -> Result<Option<u64>, CloudError> {
        if !self.urls.contains_key(&queue)
            && let Some(url) = queue_url(&self.client, &self.name(queue)).await?
        {
            self.urls.insert(queue, url);
        }
        let Some(url) = self.urls.get(&queue) else {
            return Ok(None);
        };
        let counted = self.messages(url).await?;
        if counted.is_none() {
            self.urls.remove(&queue);
        }
        Ok(counted)
    }

    async fn messages(&self, url: &str) -> Result<Option<u64>, CloudError> {
        const ACTION: &str = "sqs:GetQueueAttributes";
        const COUNTED: [QueueAttributeName; 2] = [
            QueueAttributeName::ApproximateNumberOfMessages,
            QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
        ];
        let request = self.client.get_queue_attributes().queue_url(url);
        let request = request.set_attribute_names(Some(COUNTED.into()));
        let response = request.send().await;
        let response = response.map_err(|error| CloudError::from_sdk(ACTION, error));
        none_without_queue(response.and_then(|response| {
            let attributes = response.attributes.unwrap_or_default();
            let counts = COUNTED.map(|name| attributes.get(&name)?.parse::<u64>().ok());
            let sum = counts.into_iter().sum::<Option<u64>>();
            let incomplete = || {
                let what = "the response lacks the number of messages";
                CloudError::new(ACTION, CloudErrorKind::Service, what)
            };
            sum.map(Some).ok_or_else(incomplete)
        }))
    }
}
