//! What wakes the function, told apart by shape. Anything else is refused by shape too: its keys are named, its values never
//! are, and nothing is done.

use curfew_core::instance::{InstanceId, InstanceState};
use curfew_core::schedule::ScheduleName;
use curfew_core::timetable::Cron;
use curfew_core::work::Work;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::http;
use crate::json::{Document, RepeatedKey};
use crate::message::Message;
use crate::refusal::quoted;

/// One invocation of the function.
#[derive(Clone, Debug, PartialEq)]
pub enum Invocation {
    /// API Gateway or a function URL wants an HTTP answer.
    Http(Box<http::Request>),
    /// Somebody invoked the function itself with a command: the JSON that HTTP takes as a body, and `command`.
    Direct {
        /// The value of `command`.
        command: String,
        /// The rest.
        parameters: Map<String, Value>,
    },
    /// A rule or timer fired.
    PassTrigger(Trigger),
    /// The same for one account and region.
    Work(Work),
    /// Messages of the work queue.
    Queue(Vec<Message>),
    /// EC2 tells that an instance changed.
    StateChange(StateChange),
}

/// What made a pass over everything happen, and what it says of the minute that the pass is for. It decides nothing.
#[derive(Clone, Debug, PartialEq)]
pub enum Trigger {
    /// The rule of this UTC cron, which has edges of schedules at its minutes.
    Edges(Box<Cron>),
    /// An event of EventBridge's own form, with its time.
    Event(Timestamp),
    /// A caller that names a schedule.
    Schedule(ScheduleName),
    /// The heartbeat, or a caller that names nothing.
    Now,
}

/// An `EC2 Instance State-change Notification`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateChange {
    /// The instance.
    pub instance: InstanceId,
    /// Its new state.
    pub to: InstanceState,
    /// When, as EventBridge writes it: RFC 3339.
    pub at: String,
    /// Where.
    pub region: String,
    /// EventBridge's id for it: the same however often it is delivered.
    pub event: String,
}

/// An event that nothing here understands.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no event that Curfew knows: {shape}")]
pub struct UnknownEvent {
    shape: String,
}

impl Invocation {
    /// The work that a message of the queue asks for; none, if somebody else wrote it.
    pub fn work_of(message: &Message) -> Option<Work> {
        let event: Document = serde_json::from_str(&message.body).ok()?;
        match Self::read(event.unambiguous().ok()?) {
            Ok(Self::Work(work)) => Some(work),
            _ => None,
        }
    }

    /// Reads an event.
    pub fn read(event: &Value) -> Result<Self, UnknownEvent> {
        let Value::Object(fields) = event else {
            return Err(UnknownEvent::described(kind(event)));
        };
        let has = |key: &str| fields.contains_key(key);
        let broken = |what: &str| UnknownEvent::of(fields, what);
        if let Some(context) = fields.get("requestContext") {
            let request = if context.get("http").is_some() && has("rawPath") {
                http::Request::from_http_api(event)
            } else {
                http::Request::from_rest_proxy(event)
            };
            return request
                .map(|request| Self::Http(Box::new(request)))
                .map_err(|_| {
                    broken("neither a REST proxy event nor one of an HTTP API or function URL")
                });
        }
        if has("detail-type") {
            let event = Bus::deserialize(event)
                .map_err(|_| broken("not an EventBridge event as AWS writes it"))?;
            return event.read().map_err(|what| broken(&what));
        }
        if let Some(messages) = Message::all_in(fields) {
            return Ok(Self::Queue(messages));
        }
        match fields.get("command") {
            Some(Value::String(command)) if command == "wake" => {
                let mut parameters = fields.clone();
                parameters.remove("command");
                Self::wake(parameters).map_err(|what| broken(&what))
            }
            Some(Value::String(command)) => {
                let mut parameters = fields.clone();
                parameters.remove("command");
                Ok(Self::Direct {
                    command: command.clone(),
                    parameters,
                })
            }
            Some(_) => Err(broken("`command` is not text")),
            None => Transformed::deserialize(event)
                .map(|transformed| Self::PassTrigger(Trigger::of_time(&transformed.at)))
                .map_err(|_| broken("no `requestContext`, `detail-type` or `command`")),
        }
    }
}

impl Invocation {
    /// A trigger for everything, or for one account and region. It is a pass whatever else stands there, so that what it can't
    /// take is refused: a `dry_run` would be ignored, and an `instance` would not be the only one.
    fn wake(parameters: Map<String, Value>) -> Result<Self, String> {
        if parameters.contains_key("account_region") {
            return Work::deserialize(Value::Object(parameters))
                .map(Self::Work)
                .map_err(|_| {
                    "a trigger of one `account_region` that Curfew did not write".to_owned()
                });
        }
        if let Some(key) = parameters
            .keys()
            .find(|key| !matches!(key.as_str(), "cron" | "schedule"))
        {
            return Err(format!(
                "`wake` takes `cron` or `schedule` alone, and not {}",
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
    /// Of our own input.
    fn of_fields(fields: &Map<String, Value>) -> Result<Self, String> {
        let text = |key: &str| match fields.get(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.as_str())),
            Some(_) => Err(format!("`{key}` is not text")),
        };
        match (text("cron")?, text("schedule")?) {
            (Some(_), Some(_)) => Err("`cron` and `schedule` both say what it is for".to_owned()),
            (Some(cron), None) => match cron.parse() {
                Ok(cron) => Ok(Self::Edges(Box::new(cron))),
                Err(_) => Err("`cron` is not a cron of EventBridge".to_owned()),
            },
            (None, Some(name)) => match name.parse() {
                Ok(name) => Ok(Self::Schedule(name)),
                Err(_) => Err("`schedule` is not a schedule's name".to_owned()),
            },
            (None, None) => Ok(Self::Now),
        }
    }

    /// Of an event's time, in RFC 3339.
    fn of_time(time: &str) -> Self {
        time.parse().map_or(Self::Now, Self::Event)
    }
}

impl UnknownEvent {
    fn of(fields: &Map<String, Value>, what: &str) -> Self {
        /// More would be noise in a log line.
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
        Value::String(_) => "text instead of an object",
        Value::Array(_) => "an array instead of an object",
        Value::Object(_) => "an object",
    }
}

/// An event as EventBridge delivers it.
///
/// <https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-events-structure.html>
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Bus {
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

impl Bus {
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
                Ok(Invocation::StateChange(StateChange {
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

/// What a rule's input transformer makes of a scheduled event: the rule, and the time.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Transformed {
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
    fn a_bare_rule_event_is_a_trigger_for_its_own_time() {
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
    fn our_own_input_is_a_trigger_wherever_it_comes_from() {
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
            @"no event that Curfew knows: `schedule` is not a schedule's name (keys `command`, `schedule`)"
        );
        insta::assert_snapshot!(
            read(&json!({"command": "wake", "cron": "at eight"})).unwrap_err(),
            @"no event that Curfew knows: `cron` is not a cron of EventBridge (keys `command`, `cron`)"
        );
    }

    #[test]
    fn a_trigger_that_asks_for_what_it_does_not_take_is_none() {
        let account_region = json!({"region": "eu-west-3"});
        let told = [
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
        insta::assert_snapshot!(told.join("\n"), @r"
        no event that Curfew knows: `wake` takes `cron` or `schedule` alone, and not `dry_run` (keys `command`, `dry_run`)
        no event that Curfew knows: `wake` takes `cron` or `schedule` alone, and not `instance` (keys `command`, `instance`)
        no event that Curfew knows: `wake` takes `cron` or `schedule` alone, and not `shcedule` (keys `command`, `shcedule`)
        no event that Curfew knows: `schedule` is not text (keys `command`, `schedule`)
        no event that Curfew knows: `schedule` is not text (keys `command`, `schedule`)
        no event that Curfew knows: `cron` and `schedule` both say what it is for (keys `command`, `cron`, `schedule`)
        no event that Curfew knows: `wake` takes `cron` or `schedule` alone, and not `page` (keys `command`, `page`)
        no event that Curfew knows: a trigger of one `account_region` that Curfew did not write (keys `command`, `dry_run`, `account_region`)
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
    fn a_state_change_is_read_as_ec2_sends_it() {
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
            Ok(Invocation::StateChange(StateChange {
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
    fn anything_else_is_told_by_its_shape_and_without_its_values() {
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
        no event that Curfew knows: null instead of an object
        no event that Curfew knows: an array instead of an object
        no event that Curfew knows: no `requestContext`, `detail-type` or `command` (no keys)
        no event that Curfew knows: no `requestContext`, `detail-type` or `command` (keys `Records`)
        no event that Curfew knows: neither a REST proxy event nor one of an HTTP API or function URL (keys `httpMethod`, `path`, `requestContext`)
        no event that Curfew knows: an EventBridge event `Object Created` from `aws.s3` (keys `detail`, `detail-type`, `source`)
        no event that Curfew knows: an EventBridge event `Scheduled Event` from `evil` (keys `detail-type`, `source`)
        no event that Curfew knows: `command` is not text (keys `command`)
        no event that Curfew knows: no `requestContext`, `detail-type` or `command` (keys `a\nb`)
        ");
    }

    #[test]
    fn an_event_with_many_keys_is_not_repeated_at_length() {
        let event: Map<String, Value> = (0..100).map(|n| (format!("k{n}"), Value::Null)).collect();
        let told = read(&Value::Object(event)).unwrap_err();
        assert!(told.ends_with("and 88 more)"), "{told}");
    }
}
