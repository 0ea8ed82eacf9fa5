//! A notification: one event that concerns an instance, a region or Curfew.

mod daemon_notifications;

use curfew_aws::error::CloudError;
use curfew_config::notify::NotificationEvent;
use curfew_core::instance::{AccountId, Instance, InstanceId, Region, ResourceKind};
use curfew_core::schedule::ScheduleName;
use curfew_core::skip::Skip;
use curfew_core::state_tags::Override;
use curfew_core::step::Step;
use curfew_core::transition::Transition;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

/// One event that is reported to the destinations.
#[derive(Clone, Debug, PartialEq)]
pub struct Notification {
    /// The event, by which destinations subscribe.
    pub event: NotificationEvent,
    /// When it happened or was observed.
    pub at: Timestamp,
    /// The instance, region or component.
    pub subject: Subject,
    /// The schedule that it concerns, if any.
    pub schedule: Option<ScheduleName>,
    /// What happened, in text that fits one subject or several: `went from running to stopped: schedule office`.
    pub what: String,
    /// The structured data of the event.
    pub facts: Map<String, Value>,
}

/// What a notification is about.
#[derive(Clone, Debug, PartialEq)]
pub enum Subject {
    /// An instance, with the names that messages show.
    Instance {
        /// The instance ID.
        id: InstanceId,
        /// The value of its `Name` tag.
        name: Option<String>,
        /// The region of the instance.
        region: Region,
        /// The account of the instance.
        account: AccountId,
    },
    /// Anything else with a name: a region, Curfew.
    Named(String),
}

impl Subject {
    /// Returns the subject for an observed instance.
    pub fn of(instance: &Instance) -> Self {
        Self::Instance {
            id: instance.id.clone(),
            name: instance.name().map(str::to_owned),
            region: instance.region.clone(),
            account: instance.account.clone(),
        }
    }

    /// Returns the label in messages. A name is free text from a tag, so it is escaped.
    pub fn label(&self) -> String {
        match self {
            Self::Instance {
                id,
                name: Some(name),
                ..
            } => format!("{} ({id})", name.escape_debug()),
            Self::Instance { id, .. } => id.to_string(),
            Self::Named(name) => name.clone(),
        }
    }
}

impl Notification {
    /// Reports that an instance has reached a state; `None` for a transitional state, which another transition follows.
    pub fn transition(transition: &Transition) -> Option<Self> {
        use curfew_core::instance::InstanceState::{Pending, ShuttingDown, Stopping};
        let Transition {
            from,
            to,
            cause,
            edge,
            ..
        } = transition;
        if matches!(to, Pending | Stopping | ShuttingDown) {
            return None;
        }
        Some(Self {
            event: NotificationEvent::Transition,
            at: transition.at,
            subject: Subject::Instance {
                id: transition.instance.clone(),
                name: transition.name.clone(),
                region: transition.region.clone(),
                account: transition.account.clone(),
            },
            schedule: transition.schedule.clone(),
            what: format!("went from {from} to {to}: {cause}"),
            facts: facts(json!({"from": from, "to": to, "cause": cause, "edge_at": edge})),
        })
    }

    /// Reports a failed step.
    pub fn failed(instance: &Instance, step: &Step, error: &CloudError, at: Timestamp) -> Self {
        Self {
            what: format!(
                "{} failed ({}): {error}; {}",
                step.action,
                step.cause,
                error.hint()
            ),
            facts: facts(json!({
                "action": step.action, "cause": step.cause, "error": error.described(), "error_code": error.code,
            })),
            ..Self::about(instance, NotificationEvent::Failure, at)
        }
    }

    /// Reports a start that EC2 accepted and did not complete.
    pub fn fell_back(instance: &Instance, step: &Step, why: &str, at: Timestamp) -> Self {
        Self {
            what: format!("did not stay up ({}): {why}", step.cause),
            facts: facts(json!({
                "action": step.action, "cause": step.cause, "reason": why,
                "state_reason": instance.state_reason,
            })),
            ..Self::about(instance, NotificationEvent::Failure, at)
        }
    }

    /// Reports an instance that Curfew can't manage now, or not until a problem is fixed.
    pub fn unmanageable(instance: &Instance, skip: &Skip, at: Timestamp) -> Self {
        Self {
            what: format!("skipped: {}", skip.detail),
            facts: facts(json!({"skip": skip})),
            ..Self::about(instance, NotificationEvent::Failure, at)
        }
    }

    /// Reports an edge that the cloud should have applied.
    pub fn missed(instance: &Instance, step: &Step, at: Timestamp) -> Self {
        let edge = step.edge.map(|edge| edge.at);
        let when = edge.map(|at| format!(" of {at}")).unwrap_or_default();
        Self {
            what: format!(
                "the cloud missed the {}{when} ({}); the daemon applies it",
                step.action, step.cause
            ),
            facts: facts(json!({"action": step.action, "cause": step.cause, "edge": step.edge})),
            ..Self::about(instance, NotificationEvent::Drift, at)
        }
    }

    /// Reports drift: the instance's state differs from what its override or its enforced schedule wants.
    pub fn drift(instance: &Instance, step: &Step, at: Timestamp) -> Self {
        Self {
            what: format!(
                "found {}, which contradicts the {}",
                instance.state, step.cause
            ),
            facts: facts(
                json!({"state": instance.state, "action": step.action, "cause": step.cause}),
            ),
            ..Self::about(instance, NotificationEvent::Drift, at)
        }
    }

    /// Reports a new override.
    pub fn override_placed(instance: &Instance, override_: &Override, at: Timestamp) -> Self {
        Self {
            what: format!(
                "override {} until {} by {}",
                override_.state, override_.until, override_.actor
            ),
            facts: facts(json!({"change": "placed", "override": override_})),
            ..Self::about(instance, NotificationEvent::Override, at)
        }
    }

    /// Reports an override that has ended.
    pub fn override_ended(instance: &Instance, override_: &Override, at: Timestamp) -> Self {
        let (how, change) = if override_.is_active(at) {
            ("was ended early", "resumed")
        } else {
            ("has ended", "expired")
        };
        Self {
            what: format!(
                "the override by {} ({} until {}) {how}",
                override_.actor, override_.state, override_.until
            ),
            facts: facts(json!({"change": change, "override": override_})),
            ..Self::about(instance, NotificationEvent::Override, at)
        }
    }

    /// Sets the schedule.
    #[must_use]
    pub fn of_schedule(mut self, schedule: Option<ScheduleName>) -> Self {
        self.schedule = schedule;
        self
    }

    fn about(instance: &Instance, event: NotificationEvent, at: Timestamp) -> Self {
        Self {
            event,
            at,
            subject: Subject::of(instance),
            schedule: None,
            what: String::new(),
            facts: Map::new(),
        }
    }

    /// Returns the label and the text as one sentence.
    pub fn sentence(&self) -> String {
        format!("{}: {}", self.subject.label(), self.what)
    }

    /// Returns the structured data, with the keys that every notification has.
    pub fn document(&self) -> Value {
        let mut document = self.facts.clone();
        document.insert("event".into(), json!(self.event));
        document.insert("at".into(), json!(self.at));
        document.insert("schedule".into(), json!(self.schedule));
        document.insert("text".into(), json!(self.sentence()));
        match &self.subject {
            Subject::Instance {
                id,
                name,
                region,
                account,
            } => {
                document.insert("id".into(), json!(id));
                document.insert("kind".into(), json!(ResourceKind::Instance));
                document.insert("name".into(), json!(name));
                document.insert("region".into(), json!(region));
                document.insert("account".into(), json!(account));
            }
            Subject::Named(name) => {
                document.insert("subject".into(), json!(name));
            }
        }
        Value::Object(document)
    }
}

fn facts(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(facts) => facts,
        _ => unreachable!("facts are written as objects"),
    }
}
