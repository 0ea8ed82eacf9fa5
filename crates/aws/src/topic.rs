//! Publishes messages to a topic of SNS.

use aws_smithy_runtime_api::box_error::BoxError;

use crate::connect::Connection;
use crate::error::CloudError;
use crate::minimal_client::{ActionClient, Protocol, ServiceAction, XmlDocument};

const PUBLISH: ServiceAction = ServiceAction {
    service: "SNS",
    host: "sns",
    name: "Publish",
    // The only version of SNS's API.
    protocol: Protocol::Query {
        version: "2010-03-31",
    },
};

/// A client that publishes to one topic.
#[derive(Clone, Debug)]
pub struct Topic {
    publish: ActionClient<()>,
    arn: String,
}

/// A message with a body for each kind of subscription.
/// <https://docs.aws.amazon.com/sns/latest/api/API_Publish.html>
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicMessage {
    /// The subject of e-mails: at most 100 characters of ASCII, without line breaks.
    pub subject: String,
    /// A JSON object of bodies by protocol; `default` is required.
    pub bodies: String,
    /// The deduplication id, for a FIFO topic only: SNS drops further messages with the same id for five minutes. All messages
    /// are of one group and arrive in order.
    pub deduplication: Option<String>,
}

impl Topic {
    /// The group of all messages to a FIFO topic.
    const GROUP: &str = "curfew";

    /// A client for the topic of this ARN, which must be in the connection's region. Makes no call.
    pub fn new(connection: &Connection, arn: impl Into<String>) -> Self {
        Self {
            publish: PUBLISH.by(&connection.sdk, &connection.calls, read),
            arn: arn.into(),
        }
    }

    /// `Publish`.
    ///
    /// # Errors
    ///
    /// If SNS refuses the message or does not answer. It may have been published then.
    pub async fn publish(&self, message: &TopicMessage) -> Result<(), CloudError> {
        self.publish
            .invoke(self.parameters(message))
            .await
            .map_err(|error| CloudError::from_sdk("sns:Publish", error))
    }

    fn parameters(&self, message: &TopicMessage) -> String {
        let mut parameters = form_urlencoded::Serializer::new(String::new());
        parameters
            .append_pair("TopicArn", &self.arn)
            .append_pair("Message", &message.bodies)
            .append_pair("Subject", &message.subject)
            .append_pair("MessageStructure", "json");
        if let Some(deduplication) = &message.deduplication {
            parameters
                .append_pair("MessageDeduplicationId", deduplication)
                .append_pair("MessageGroupId", Self::GROUP);
        }
        parameters.finish()
    }
}

fn read(body: &[u8]) -> Result<(), BoxError> {
    XmlDocument::read(body).map(drop)
}
