//! The messages of the work queue, as they come from there. It needs nothing of AWS's SDK.

use serde_json::{Map, Value};

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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Invocation;
    use curfew_core::work::Work;
    use serde_json::json;

    #[test]
    fn a_message_is_a_trigger_like_any_other() {
        let account_region = json!({"account": "111122223333", "region": "eu-west-3"});
        let work = Work {
            page: Some("token".to_owned()),
            part: 2,
            ..Work::over(
                serde_json::from_value(account_region).unwrap(),
                AT.parse().unwrap(),
            )
        };
        let message: Value = serde_json::from_str(&work.to_message()).unwrap();
        insta::assert_snapshot!(message, @r#"{"at":"2026-11-23T19:00:00Z","command":"wake","account_region":{"account":"111122223333","region":"eu-west-3"},"page":"token","part":2}"#);
        assert_eq!(Invocation::read(&message), Ok(Invocation::Work(work)));
    }

    const AT: &str = "2026-11-23T19:00:00Z";
}
