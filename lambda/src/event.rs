//! Classifies events by their shape. An unknown event is refused with the names of its keys, and never with its values.

use curfew_core::instance::{InstanceId, InstanceState};
use curfew_core::schedule::ScheduleName;
use curfew_core::timetable::Cron;
use curfew_core::work::Work;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::api_error::quoted;
use crate::http;
use crate::json::{JsonDocument, RepeatedKey};
use crate::message::QueueMessage;

/// An event that the function handles.
#[derive(Clone, Debug, PartialEq)]
pub enum Invocation {
    /// An HTTP request through API Gateway or a function URL.
    Http(Box<http::HttpRequest>),
    /// A direct invocation with a command: the JSON body of an HTTP request, and `command`.
    Direct {
        /// The value of `command`.
        command: String,
        /// The other fields.
        parameters: Map<String, Value>,
    },
    /// A trigger of passes over all account-regions.
    PassTrigger(Trigger),
    /// A trigger of a pass over one account-region.
    Work(Work),
    /// Messages of the work queue.
    Queue(Vec<QueueMessage>),
    /// A notification of EC2 that an instance changed its state.
    StateChange(StateChangeEvent),
}

/// The trigger of passes over all account-regions. It determines the minute that the passes are for, and carries no decision.
#[derive(Clone, Debug, PartialEq)]
pub enum Trigger {
    /// A rule with this UTC cron, which fires in the minutes of schedule edges.
    Edges(Box<Cron>),
    /// An EventBridge event with its own time.
    Event(Timestamp),
    /// A direct command that names a schedule.
    Schedule(ScheduleName),
    /// The heartbeat, or a direct command without parameters.
    Now,
}

/// An `EC2 Instance State-change Notification`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateChangeEvent {
    /// The id of the instance.
    pub instance: InstanceId,
    /// The instance's new state.
    pub to: InstanceState,
    /// The time of the change, as EventBridge writes it: RFC 3339.
    pub at: String,
    /// The region of the instance.
    pub region: String,
    /// The id of the event, the same for repeated deliveries.
    pub event: String,
}

/// Reports an event of an unknown shape.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown event: {shape}")]
pub struct UnknownEvent {
    shape: String,
}

impl Invocation {
    /// Parses the work in a message of the queue; `None` if Curfew did not write the message.
    pub fn work_of(message: &QueueMessage) -> Option<Work> {
        let event: JsonDocument = serde_json::from_str(&message.body).ok()?;
        match Self::read(event.unambiguous().ok()?) {
            Ok(Self::Work(work)) => Some(work),
            _ => None,
        }
    }

    /// Classifies an event. Fails if its shape is unknown.
    pub fn read(event: &Value) -> Result<Self, UnknownEvent> {
        let Value::Object(fields) = event else {
            return Err(UnknownEvent::described(kind(event)));
        };
        let has = |key: &str| fields.contains_key(key);
        let broken = |what: &str| UnknownEvent::of(fields, what);
        if let Some(context) = fields.get("requestContext") {
            let request = if context.get("http").is_some() && has("rawPath") {
                http::HttpRequest::from_http_api(event)
            } else {
                http::HttpRequest::from_rest_proxy(event)
            };
            return request
                .map(|request| Self::Http(Box::new(request)))
                .map_err(|_| {
                    broken("neither a REST proxy event nor one of an HTTP API or function URL")
                });
        }
        if has("detail-type") {
            let event = EventBridgeEvent::deserialize(event)
                .map_err(|_| broken("not an EventBridge event as AWS writes it"))?;
            return event.read().map_err(|what| broken(&what));
        }
        if let Some(messages) = QueueMessage::all_in(fields) {
            return Ok(Self::Queue(messages));
        }
        match fields.get("command") {
            Some(Value::String(command)) if command == "wake" => {
                let mut parameters = fields.clone();
                parameters.remove("command");
                Self::read_trigger(parameters).map_err(|what| broken(&what))
            }
            Some(Value::String(command)) => {
                let mut parameters = fields.clone();
                parameters.remove("command");
                Ok(Self::Direct {
                    command: command.clone(),
                    parameters,
                })
            }
            Some(_) => Err(broken("`command` is not a string")),
            None => TransformedEvent::deserialize(event)
                .map(|transformed| Self::PassTrigger(Trigger::of_time(&transformed.at)))
                .map_err(|_| broken("no `requestContext`, `detail-type` or `command`")),
        }
    }
}

impl Invocation {
    /// Parses a trigger of all account-regions, or of one. Fails on other fields: an ignored `dry_run` or `instance` would cause a
    /// full pass.
    fn read_trigger(parameters: Map<String, Value>) -> Result<Self, String> {
        if parameters.contains_key("account_region") {
            return Work::deserialize(Value::Object(parameters))
                .map(Self::Work)
                .map_err(|_| "an invalid trigger of one `account_region`".to_owned());
        }
        if let Some(key) = parameters
            .keys()
            .find(|key| !matches!(key.as_str(), "cron" | "schedule"))
        {
            return Err(format!(
                "`wake` accepts only `cron` or `schedule`, not {}",
                quoted(key)
            ));
        }
        Trigger::of_fields(&parameters).map(Self::PassTrigger)
    }
}

impl From<RepeatedKey> for UnknownEvent {
    fn from(repeated: RepeatedKey) -> Self {
        Self::described(&repeated.to_string())
    }
}

impl Trigger {
    /// Parses the fields of the command `wake`.
    fn of_fields(fields: &Map<String, Value>) -> Result<Self, String> {
        let text = |key: &str| match fields.get(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.as_str())),
            Some(_) => Err(format!("`{key}` is not a string")),
        };
        match (text("cron")?, text("schedule")?) {
            (Some(_), Some(_)) => Err("`cron` and `schedule` can't be combined".to_owned()),
            (Some(cron), None) => match cron.parse() {
                Ok(cron) => Ok(Self::Edges(Box::new(cron))),
                Err(_) => Err("`cron` is not an EventBridge cron".to_owned()),
            },
            (None, Some(name)) => match name.parse() {
                Ok(name) => Ok(Self::Schedule(name)),
                Err(_) => Err("`schedule` is not a schedule's name".to_owned()),
            },
            (None, None) => Ok(Self::Now),
        }
    }

    /// Creates a trigger from an event's time in RFC 3339; a malformed time means now.
    fn of_time(time: &str) -> Self {
        time.parse().map_or(Self::Now, Self::Event)
    }
}

impl UnknownEvent {
    fn of(fields: &Map<String, Value>, what: &str) -> Self {
        /// Limits the length of the log line.
        const KEYS: usize = 12;
        let mut keys: Vec<String> = fields.keys().take(KEYS).map(|key| quoted(key)).collect();
        if fields.len() > KEYS {
            keys.push(format!("and {} more", fields.len() - KEYS));
        }
        let keys = if keys.is_empty() {
            "no keys".to_owned()
        } else {
            format!("keys {}", keys.join(", "))
        };
        Self::described(&format!("{what} ({keys})"))
    }

    fn described(shape: &str) -> Self {
        Self {
            shape: shape.to_owned(),
        }
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null instead of an object",
        Value::Bool(_) => "a boolean instead of an object",
        Value::Number(_) => "a number instead of an object",
        Value::String(_) => "a string instead of an object",
        Value::Array(_) => "an array instead of an object",
        Value::Object(_) => "an object",
    }
}

/// An event as EventBridge delivers it.
///
/// <https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-events-structure.html>
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct EventBridgeEvent {
    source: String,
    detail_type: String,
    #[serde(default)]
    id: String,
    #[serde(default)]
    time: String,
    #[serde(default)]
    region: String,
    #[serde(default)]
    detail: Value,
}

impl EventBridgeEvent {
    fn read(self) -> Result<Invocation, String> {
        match (self.source.as_str(), self.detail_type.as_str()) {
            ("aws.events" | "aws.scheduler", "Scheduled Event") => {
                Ok(Invocation::PassTrigger(Trigger::of_time(&self.time)))
            }
            ("aws.ec2", "EC2 Instance State-change Notification") => {
                let text = |key: &str| self.detail.get(key).and_then(Value::as_str);
                let instance = text("instance-id").and_then(|id| id.parse().ok());
                let to = text("state").and_then(|state| state.parse().ok());
                let (Some(instance), Some(to)) = (instance, to) else {
                    return Err("a state change without an instance or a known state".to_owned());
                };
                Ok(Invocation::StateChange(StateChangeEvent {
                    instance,
                    to,
                    at: self.time,
                    region: self.region,
                    event: self.id,
                }))
            }
            (source, detail_type) => Err(format!(
                "an EventBridge event {} from {}",
                quoted(detail_type),
                quoted(source)
            )),
        }
    }
}

/// A scheduled event as a rule's input transformer rewrites it: the rule, and the time.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TransformedEvent {
    #[serde(rename = "rule")]
    _rule: String,
    at: String,
    #[serde(rename = "from")]
    _from: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(event: &Value) -> Result<Invocation, String> {
        Invocation::read(event).map_err(|error| error.to_string())
    }

    #[test]
    fn a_scheduled_event_triggers_a_pass_for_its_time() {
        let event = json!({
            "source": "aws.events", "detail-type": "Scheduled Event", "detail": {}, "time": "2026-11-23T19:00:00Z",
            "resources": ["arn:aws:events:eu-west-3:123456789012:rule/curfew-curfew-edges-3f2a9c"],
        });
        let at = "2026-11-23T19:00:00Z".parse().unwrap();
        assert_eq!(
            read(&event),
            Ok(Invocation::PassTrigger(Trigger::Event(at)))
        );
    }

    #[test]
    fn the_wake_command_is_a_pass_trigger() {
        let edges = "cron(0 19 ? * MON-FRI *)".parse().unwrap();
        assert_eq!(
            read(&json!({"command": "wake", "cron": "cron(0 19 ? * MON-FRI *)"})),
            Ok(Invocation::PassTrigger(Trigger::Edges(Box::new(edges))))
        );
        assert_eq!(
            read(&json!({"command": "wake", "schedule": "office"})),
            Ok(Invocation::PassTrigger(Trigger::Schedule(
                "office".parse().unwrap()
            )))
        );
        assert_eq!(
            read(&json!({"command": "wake"})),
            Ok(Invocation::PassTrigger(Trigger::Now))
        );
        insta::assert_snapshot!(
            read(&json!({"command": "wake", "schedule": "../x"})).unwrap_err(),
            @"unknown event: `schedule` is not a schedule's name (keys `command`, `schedule`)"
        );
        insta::assert_snapshot!(
            read(&json!({"command": "wake", "cron": "at eight"})).unwrap_err(),
            @"unknown event: `cron` is not an EventBridge cron (keys `command`, `cron`)"
        );
    }

    #[test]
    fn a_trigger_with_unknown_or_invalid_fields_is_refused() {
        let account_region = json!({"region": "eu-west-3"});
        let errors = [
            json!({"command": "wake", "dry_run": true}),
            json!({"command": "wake", "instance": "i-0abc1234def567890"}),
            json!({"command": "wake", "shcedule": "office"}),
            json!({"command": "wake", "schedule": null}),
            json!({"command": "wake", "schedule": ["office"]}),
            json!({"command": "wake", "schedule": "office", "cron": "cron(0 19 ? * MON-FRI *)"}),
            json!({"command": "wake", "page": "token"}),
            json!({"command": "wake", "account_region": account_region, "dry_run": true}),
        ]
        .map(|event| read(&event).unwrap_err());
        insta::assert_snapshot!(errors.join("\n"), @r"
        unknown event: `wake` accepts only `cron` or `schedule`, not `dry_run` (keys `command`, `dry_run`)
        unknown event: `wake` accepts only `cron` or `schedule`, not `instance` (keys `command`, `instance`)
        unknown event: `wake` accepts only `cron` or `schedule`, not `shcedule` (keys `command`, `shcedule`)
        unknown event: `schedule` is not a string (keys `command`, `schedule`)
        unknown event: `schedule` is not a string (keys `command`, `schedule`)
        unknown event: `cron` and `schedule` can't be combined (keys `command`, `cron`, `schedule`)
        unknown event: `wake` accepts only `cron` or `schedule`, not `page` (keys `command`, `page`)
        unknown event: an invalid trigger of one `account_region` (keys `account_region`, `command`, `dry_run`)
        ");
    }

    #[test]
    fn a_direct_command_keeps_its_parameters() {
        let invocation =
            read(&json!({"command": "start", "instance": ["i-0abc1234"], "for": "2h"}));
        let parameters = json!({"instance": ["i-0abc1234"], "for": "2h"});
        let Value::Object(parameters) = parameters else {
            unreachable!("it is written as an object")
        };
        assert_eq!(
            invocation,
            Ok(Invocation::Direct {
                command: "start".into(),
                parameters
            })
        );
    }

    #[test]
    fn a_state_change_notification_is_parsed() {
        let event = |state: &str| {
            json!({
                "id": "7bf73129-1428-4cd3-a780-95db273d1602", "detail-type": "EC2 Instance State-change Notification",
                "source": "aws.ec2", "account": "123456789012", "time": "2026-11-23T18:00:00Z", "region": "eu-west-3",
                "resources": ["arn:aws:ec2:eu-west-3:123456789012:instance/i-0abc1234def567890"],
                "detail": {"instance-id": "i-0abc1234def567890", "state": state},
            })
        };
        assert_eq!(
            read(&event("stopped")),
            Ok(Invocation::StateChange(StateChangeEvent {
                instance: "i-0abc1234def567890".parse().unwrap(),
                to: InstanceState::Stopped,
                at: "2026-11-23T18:00:00Z".into(),
                region: "eu-west-3".into(),
                event: "7bf73129-1428-4cd3-a780-95db273d1602".into(),
            }))
        );
        assert!(read(&event("melted")).is_err());
    }

    #[test]
    fn an_unknown_event_is_described_by_its_keys_not_its_values() {
        let shapes: Vec<String> = [
            json!(null),
            json!([1]),
            json!({}),
            json!({"Records": [{"secret": "s3cr3t"}]}),
            json!({"requestContext": {"elb": {}}, "httpMethod": "GET", "path": "/stop"}),
            json!({"source": "aws.s3", "detail-type": "Object Created", "detail": {"secret": "s3cr3t"}}),
            json!({"source": "evil", "detail-type": "Scheduled Event"}),
            json!({"command": 7}),
            json!({"a\nb": 1}),
        ]
        .iter()
        .map(|event| read(event).unwrap_err())
        .collect();
        insta::assert_snapshot!(shapes.join("\n"), @r"
        unknown event: null instead of an object
        unknown event: an array instead of an object
        unknown event: no `requestContext`, `detail-type` or `command` (no keys)
        unknown event: no `requestContext`, `detail-type` or `command` (keys `Records`)
        unknown event: neither a REST proxy event nor one of an HTTP API or function URL (keys `httpMethod`, `path`, `requestContext`)
        unknown event: an EventBridge event `Object Created` from `aws.s3` (keys `detail`, `detail-type`, `source`)
        unknown event: an EventBridge event `Scheduled Event` from `evil` (keys `detail-type`, `source`)
        unknown event: `command` is not a string (keys `command`)
        unknown event: no `requestContext`, `detail-type` or `command` (keys `a\nb`)
        ");
    }

    #[test]
    fn the_description_of_an_event_with_many_keys_is_bounded() {
        let event: Map<String, Value> = (0..100).map(|n| (format!("k{n}"), Value::Null)).collect();
        let error = read(&Value::Object(event)).unwrap_err();
        assert!(error.ends_with("and 88 more)"), "{error}");
    }
}
