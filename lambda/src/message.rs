//! What stands in the work queue, and how it comes from there. It needs nothing of AWS's SDK.

use curfew_core::membership::Member;
use curfew_core::schedule::ScheduleName;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::event::Invocation;
use crate::json::Document;

/// A pass over one account and region, or over what is left of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Work {
    /// The schedule that the wake-up named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<ScheduleName>,
    /// Where.
    pub member: Member,
    /// The token of the page to begin with, in EC2's words; the first page, where none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page: Option<String>,
}

impl Work {
    /// The message: what a direct wake-up looks like too.
    pub fn to_message(&self) -> String {
        let mut message = json!(self);
        message["command"] = "wake".into();
        message.to_string()
    }
}

/// A message of the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// What SQS calls it.
    pub id: String,
    /// What was sent.
    pub body: String,
    /// How often it was delivered, this time included.
    pub receives: u32,
}

impl Message {
    /// The messages in an event of a queue; none, if it is no such event.
    /// <https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html>
    pub fn all_in(event: &Map<String, Value>) -> Option<Vec<Self>> {
        let records = event.get("Records")?.as_array()?;
        let messages: Option<Vec<Self>> = records.iter().map(Self::read).collect();
        messages.filter(|messages| !messages.is_empty())
    }

    fn read(record: &Value) -> Option<Self> {
        let text = |key: &str| record[key].as_str();
        let receives = record["attributes"]["ApproximateReceiveCount"].as_str();
        (text("eventSource") == Some("aws:sqs")).then_some(())?;
        Some(Self {
            id: text("messageId")?.to_owned(),
            body: text("body")?.to_owned(),
            receives: receives.and_then(|count| count.parse().ok()).unwrap_or(1),
        })
    }

    /// The work that it asks for; none, if somebody else wrote it.
    pub fn work(&self, stack: &str) -> Option<Work> {
        let event: Document = serde_json::from_str(&self.body).ok()?;
        match Invocation::read(event.unambiguous().ok()?, stack) {
            Ok(Invocation::Work(work)) => Some(work),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Invocation;
    use serde_json::json;

    #[test]
    fn a_message_is_a_wake_up_like_any_other() {
        let work = Work {
            schedule: Some("office".parse().unwrap()),
            member: serde_json::from_value(
                json!({"account": "111122223333", "region": "eu-west-3"}),
            )
            .unwrap(),
            page: Some("token".to_owned()),
        };
        let message: Value = serde_json::from_str(&work.to_message()).unwrap();
        insta::assert_snapshot!(message, @r#"{"command":"wake","member":{"account":"111122223333","region":"eu-west-3"},"page":"token","schedule":"office"}"#);
        assert_eq!(
            Invocation::read(&message, "curfew"),
            Ok(Invocation::Work(work))
        );
    }
}
