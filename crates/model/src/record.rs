//! The record of a test: calls, state transitions, and the events that AWS would have sent.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::action::ApiAction;
use crate::ids::{Ec2InstanceId, Home, SeededRandom, uuid};
use crate::instance::{Ec2InstanceState, instance_arn};
use crate::request::ApiRequest;

/// A recorded call.
#[derive(Debug, Clone)]
pub struct RecordedCall {
    /// The `requestId` of the response.
    pub request_id: String,
    /// The requested action name, known or not.
    pub name: String,
    /// The addressed account and region.
    pub home: Home,
    /// The request, unless it was invalid.
    pub request: Option<ApiRequest>,
    /// The model's time.
    pub at: Timestamp,
    /// The outcome in the service.
    pub outcome: RecordedOutcome,
}

impl RecordedCall {
    /// The ids in the request.
    pub fn ids(&self) -> &[String] {
        self.request.as_ref().map_or(&[], ApiRequest::ids)
    }

    /// Returns whether it is a call of this action.
    pub fn is(&self, action: ApiAction) -> bool {
        self.name == action.name()
    }
}

/// The outcome of a call in the service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordedOutcome {
    /// The call took effect; the response may have been lost.
    Done,
    /// The call was refused with this code and had no effect.
    Refused(String),
    /// The request was lost.
    Lost,
}

/// A transition of an instance's state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateTransition {
    /// The id of the instance.
    pub instance: Ec2InstanceId,
    /// The owning account and region.
    pub home: Arc<Home>,
    /// The previous state; `None` for a launch.
    pub from: Option<Ec2InstanceState>,
    /// The new state.
    pub to: Ec2InstanceState,
    /// The time of the transition.
    pub at: Timestamp,
}

impl StateTransition {
    /// The event that EC2 sends to `EventBridge` (*State change events for Amazon EC2 instances*, EC2 User Guide), with
    /// its time in whole seconds. The number determines the event id, so that a duplicated delivery has the same id.
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
