//! The content of a queue message: a state change, or an API call.

use std::collections::BTreeSet;

use curfew_core::instance::{AccountId, InstanceId, InstanceState, Region};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

/// A recognised message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StateChangeMessage {
    /// `EC2 Instance State-change Notification`.
    /// <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/monitoring-instance-state-changes.html>
    Changed(QueuedStateChange),
    /// `AWS API Call via CloudTrail`: sent where the account has a trail, minutes after the call.
    /// <https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-service-event-cloudtrail.html>
    Called(CloudTrailCall),
}

/// A state change of an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct QueuedStateChange {
    /// The event's id, which is the same each time that it is delivered.
    pub id: String,
    pub instance: InstanceId,
    /// Its new state.
    pub state: InstanceState,
    /// When it happened, in whole seconds.
    pub at: Timestamp,
    /// The account of the instance.
    pub account: AccountId,
    pub region: Region,
}

/// A call that started, stopped or terminated instances.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CloudTrailCall {
    /// The event's id, which is the same each time that it is delivered.
    pub id: String,
    pub instances: BTreeSet<InstanceId>,
    /// The states that such a call leads to.
    pub to: &'static [InstanceState],
    /// When the call was made.
    pub at: Timestamp,
    /// The principal: an ARN, or an AWS service.
    pub by: String,
}

/// A message of another format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the message is no change of an instance's state: {shape}")]
pub(crate) struct UnrecognisedMessage {
    /// The structure of the message without its values.
    pub shape: String,
}

#[derive(Deserialize)]
struct Envelope {
    id: String,
    source: String,
    #[serde(rename = "detail-type")]
    detail_type: String,
    time: Timestamp,
    account: String,
    region: String,
    detail: Value,
}

impl StateChangeMessage {
    /// Parses a message's body.
    pub(crate) fn read(body: &str) -> Result<Self, UnrecognisedMessage> {
        let document: Value = serde_json::from_str(body).map_err(|_| UnrecognisedMessage {
            shape: format!("{} bytes that are no JSON", body.len()),
        })?;
        let unreadable = || UnrecognisedMessage {
            shape: shape(&document),
        };
        let envelope = Envelope::deserialize(&document).map_err(|_| unreadable())?;
        if envelope.source != "aws.ec2" {
            return Err(unreadable());
        }
        match envelope.detail_type.as_str() {
            "EC2 Instance State-change Notification" => changed(envelope).map(Self::Changed),
            "AWS API Call via CloudTrail" => called(envelope).map(Self::Called),
            _ => None,
        }
        .ok_or_else(unreadable)
    }

    pub(crate) fn id(&self) -> &str {
        match self {
            Self::Changed(event) => &event.id,
            Self::Called(call) => &call.id,
        }
    }
}

fn changed(envelope: Envelope) -> Option<QueuedStateChange> {
    let detail = |key: &str| envelope.detail.get(key).and_then(Value::as_str);
    Some(QueuedStateChange {
        instance: detail("instance-id")?.parse().ok()?,
        state: detail("state")?.parse().ok()?,
        id: envelope.id,
        at: envelope.time,
        account: AccountId::new(envelope.account),
        region: Region::new(envelope.region),
    })
}

fn called(envelope: Envelope) -> Option<CloudTrailCall> {
    use InstanceState as S;
    let detail = &envelope.detail;
    let to: &[S] = match detail.get("eventName")?.as_str()? {
        // A rejected call had no effect.
        _ if detail.get("errorCode").is_some_and(|code| !code.is_null()) => &[],
        "StartInstances" => &[S::Pending, S::Running],
        "StopInstances" => &[S::Stopping, S::Stopped],
        "TerminateInstances" => &[S::ShuttingDown, S::Terminated],
        _ => return None,
    };
    let who = detail.get("userIdentity")?;
    let by = ["arn", "invokedBy", "principalId", "type"]
        .into_iter()
        .find_map(|key| who.get(key)?.as_str())?;
    let items = detail.pointer("/requestParameters/instancesSet/items")?;
    let ids = items.as_array()?.iter();
    let ids = ids.filter_map(|item| item.get("instanceId")?.as_str()?.parse().ok());
    Some(CloudTrailCall {
        instances: ids.collect(),
        to,
        at: envelope.time,
        by: by.to_owned(),
        id: envelope.id,
    })
}

/// The keys of a document, and the types of their values: enough to recognise it, and nothing that may be secret.
fn shape(document: &Value) -> String {
    /// Limits the output for messages of other senders.
    const KEYS: usize = 12;
    let sort = |value: &Value| match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    };
    match document {
        Value::Object(account_regions) => {
            let keys = account_regions.iter().take(KEYS);
            let keys: Vec<String> = keys
                .map(|(key, value)| format!("{}: {}", key.escape_debug(), sort(value)))
                .collect();
            format!("{{{}}}", keys.join(", "))
        }
        other => sort(other).to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHANGE: &str = r#"{"version": "0", "id": "7bf73129-1428-4cd3-a780-95db273d1602",
        "detail-type": "EC2 Instance State-change Notification", "source": "aws.ec2", "account": "123456789012",
        "time": "2026-11-23T19:00:01Z", "region": "eu-west-3",
        "resources": ["arn:aws:ec2:eu-west-3:123456789012:instance/i-0abc1234def567890"],
        "detail": {"instance-id": "i-0abc1234def567890", "state": "stopping"}}"#;

    fn call(name: &str, more: &str) -> String {
        format!(
            r#"{{"version": "0", "id": "c0ffee00-0000-4000-8000-000000000001", "detail-type": "AWS API Call via CloudTrail",
            "source": "aws.ec2", "account": "123456789012", "time": "2026-11-23T19:00:00Z", "region": "eu-west-3",
            "resources": [], "detail": {{"eventVersion": "1.09", "eventSource": "ec2.amazonaws.com", "eventName": "{name}",
                "userIdentity": {{"type": "IAMUser", "principalId": "AIDA", "arn": "arn:aws:iam::123456789012:user/alice"}},
                "requestParameters": {{"instancesSet": {{"items": [{{"instanceId": "i-0abc1234def567890"}}]}}, "force": false}}{more}}}}}"#
        )
    }

    #[test]
    fn a_state_change_is_parsed_as_ec2_sends_it() {
        let Ok(StateChangeMessage::Changed(event)) = StateChangeMessage::read(CHANGE) else {
            panic!("it is a change");
        };
        assert_eq!(event.instance.as_str(), "i-0abc1234def567890");
        assert_eq!(event.state, InstanceState::Stopping);
        assert_eq!(event.at, "2026-11-23T19:00:01Z".parse().unwrap());
    }

    #[test]
    fn a_call_has_its_principal_and_resulting_states() {
        let Ok(StateChangeMessage::Called(found)) =
            StateChangeMessage::read(&call("StopInstances", ""))
        else {
            panic!("it is a call");
        };
        assert_eq!(found.by, "arn:aws:iam::123456789012:user/alice");
        assert_eq!(found.to, [InstanceState::Stopping, InstanceState::Stopped]);
        assert_eq!(found.instances.len(), 1);
    }

    #[test]
    fn a_rejected_call_has_no_resulting_states() {
        let refused = call(
            "StartInstances",
            r#", "errorCode": "Client.UnauthorizedOperation""#,
        );
        let Ok(StateChangeMessage::Called(found)) = StateChangeMessage::read(&refused) else {
            panic!("it is a call");
        };
        assert_eq!(found.to, []);
    }

    #[test]
    fn an_unrecognised_message_is_described_by_its_structure_without_values() {
        let shape_of = |body: &str| StateChangeMessage::read(body).unwrap_err().shape;
        assert_eq!(shape_of("hello"), "5 bytes that are no JSON");
        assert_eq!(shape_of("[1]"), "a list");
        assert_eq!(
            shape_of(r#"{"password": "secret", "n": 1}"#),
            "{n: a number, password: text}"
        );
        for broken in [
            CHANGE.replace("stopping", "melting"),
            CHANGE.replace("aws.ec2", "aws.ecs"),
            CHANGE.replace("i-0abc1234def567890", "web"),
            CHANGE.replace("2026-11-23T19", "2026-11-23T99"),
            call("RebootInstances", ""),
        ] {
            let shape = shape_of(&broken);
            assert!(shape.contains("detail: an object"), "{shape}");
        }
    }
}
