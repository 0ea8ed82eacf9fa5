//! What happened: the calls that arrived, the states that changed, and the events that AWS would have sent about them.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::action::ApiAction;
use crate::ids::{Ec2InstanceId, Home, SeededRandom, uuid};
use crate::instance::{Ec2InstanceState, instance_arn};
use crate::request::ApiRequest;

/// One call as it arrived.
#[derive(Debug, Clone)]
pub struct RecordedCall {
    /// The `requestId` of the answer.
    pub request_id: String,
    /// The name that was asked for, known or not.
    pub name: String,
    /// The account and region it was for.
    pub home: Home,
    /// The call, unless it could not be understood.
    pub request: Option<ApiRequest>,
    /// When, in the model's time.
    pub at: Timestamp,
    /// How it ended.
    pub outcome: RecordedOutcome,
}

impl RecordedCall {
    /// The ids it named.
    pub fn ids(&self) -> &[String] {
        self.request.as_ref().map_or(&[], ApiRequest::ids)
    }

    /// Whether it was a call of this action.
    pub fn is(&self, action: ApiAction) -> bool {
        self.name == action.name()
    }
}

/// How a call ended, on the service's side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordedOutcome {
    /// It was done; the answer may still have been lost on the way.
    Done,
    /// It was refused with this code, and nothing changed.
    Refused(String),
    /// The service never saw it: the connection was cut or hung before.
    Lost,
}

/// A change of an instance's state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateTransition {
    /// The instance.
    pub instance: Ec2InstanceId,
    /// Its account and region.
    pub home: Arc<Home>,
    /// The state before; absent for a launch.
    pub from: Option<Ec2InstanceState>,
    /// The state after.
    pub to: Ec2InstanceState,
    /// When.
    pub at: Timestamp,
}

impl StateTransition {
    /// The event that EC2 sends to `EventBridge` (*State change events for Amazon EC2 instances*, EC2 User Guide); its time
    /// is in whole seconds. The number names the event: events delivered twice carry the same id.
    pub(crate) fn event(&self, seed: u64, number: u64) -> Value {
        let mut chance = SeededRandom::seeded(seed ^ number.wrapping_mul(0xd134_2543_de82_ef95));
        json!({
            "version": "0",
            "id": uuid(chance.draw(), chance.draw()),
            "detail-type": "EC2 Instance State-change Notification",
            "source": "aws.ec2",
            "account": self.home.account,
            "time": self.at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            "region": self.home.region,
            "resources": [instance_arn(&self.home, self.instance.as_str())],
            "detail": {
                "instance-id": self.instance.as_str(),
                "state": self.to.name(),
            },
        })
    }
}
