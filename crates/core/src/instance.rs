//! An EC2 instance, reduced to the fields that decisions need.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::string_newtype;

/// The kind of a resource, as the field `kind` of everything about one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum ResourceKind {
    /// An EC2 instance.
    #[default]
    Instance,
}

impl fmt::Display for ResourceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Instance => "instance",
        })
    }
}

/// An EC2 instance as one pass observed it.
#[derive(Clone, Debug, PartialEq)]
pub struct Instance {
    /// `i-` and 8 or 17 hexadecimal digits.
    pub id: InstanceId,
    /// The region of the instance.
    pub region: Region,
    /// The account that owns the instance: twelve digits.
    pub account: AccountId,
    /// The state that EC2 reports.
    pub state: InstanceState,
    /// EC2's name of a state that is [`InstanceState::Other`].
    pub state_word: Option<String>,
    /// EC2's `LaunchTime`: the latest start on AWS, the first launch on emulators, which never change it.
    pub launched_at: Option<Timestamp>,
    /// The instance type, for example `t3.micro`.
    pub instance_type: String,
    /// The availability zone, for example `eu-west-3a`.
    pub availability_zone: Option<String>,
    /// All tags of the instance, Curfew's state tags included.
    pub tags: BTreeMap<String, String>,
    /// The purchase option, as far as it limits stopping.
    pub purchase: Purchase,
    /// The source of capacity for the next start, in addition to type and zone.
    pub capacity: CapacitySource,
    /// EC2's `Operator`: the principal of the AWS service that manages the instance, such as `eks.amazonaws.com`. It is empty if EC2
    /// does not name the service, and `None` if no service manages the instance.
    pub operator: Option<String>,
    /// The type of the root volume.
    pub root_device: RootDevice,
    /// Whether the instance was launched with hibernation enabled.
    pub hibernation: Hibernation,
    /// EC2's `StateReason` for the latest state change, for example `Client.UserInitiatedShutdown`.
    pub state_reason: Option<StateReason>,
    /// EC2's `StateTransitionReason` for the latest state change, for example `User initiated (2026-11-23 19:00:00 GMT)`.
    pub transition_reason: Option<String>,
}

impl Instance {
    /// Returns the value of the tag `Name`, unless it is missing or blank.
    pub fn name(&self) -> Option<&str> {
        self.tags
            .get("Name")
            .map(|name| name.trim())
            .filter(|name| !name.is_empty())
    }

    /// Returns the time at which an API call stopped or hibernated the instance, if EC2's transition reason contains it.
    ///
    /// EC2 writes `User initiated (2026-11-23 19:00:00 GMT)` for every call, including Curfew's.
    pub fn user_stopped_at(&self) -> Option<Timestamp> {
        let by_user = |reason: &StateReason| {
            [StateReason::USER_STOPPED, StateReason::USER_HIBERNATED]
                .contains(&reason.code.as_str())
        };
        if !self.state_reason.as_ref().is_none_or(by_user) {
            return None;
        }
        let time = self
            .transition_reason
            .as_deref()?
            .strip_prefix("User initiated (")?
            .strip_suffix(')')?;
        let time = time
            .trim_end_matches(" GMT")
            .trim_end_matches(" UTC")
            .replacen(' ', "T", 1);
        format!("{time}Z").parse().ok()
    }

    /// Returns EC2's reason if the latest start failed: the instance is stopped, and the reason is not one that stops a running
    /// instance.
    pub fn failed_start(&self) -> Option<&StateReason> {
        let stopped = self.state == InstanceState::Stopped;
        let reason = self.state_reason.as_ref().filter(|_| stopped)?;
        (!StateReason::OF_STOPS.contains(&reason.code.as_str())).then_some(reason)
    }

    /// Returns whether the instance may be hibernated, with the contents of its memory on the root volume. EC2's reason for the stop
    /// decides; without a reason, as on emulators, every stopped instance that is configured for hibernation may be.
    pub fn may_be_hibernated(&self) -> bool {
        let plainly = [
            StateReason::USER_STOPPED,
            StateReason::SHUT_DOWN_FROM_INSIDE,
        ];
        let reason = self.state_reason.as_ref();
        self.state == InstanceState::Stopped
            && self.hibernation == Hibernation::Configured
            && !reason.is_some_and(|reason| plainly.contains(&reason.code.as_str()))
    }
}

/// The purchase option of an instance, as far as it limits stopping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purchase {
    /// On demand, reserved, or any other option that allows stop and start.
    OnDemand,
    /// A persistent Spot request: EC2 allows stop and start.
    PersistentSpot,
    /// A one-time Spot request: EC2 does not allow a stop.
    OneTimeSpot,
    /// A Spot request that could not be read, so that it is unknown whether EC2 allows a stop.
    UnknownSpot {
        /// The error of the call, in one sentence.
        problem: String,
    },
}

/// The source of an instance's capacity, in addition to its type and zone. Two instances with the same type, zone and source compete
/// for the same capacity; a lack of capacity in one source does not imply a lack in another.
///
/// <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_Placement.html>,
/// <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CapacityReservationSpecificationResponse.html>
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CapacitySource {
    /// EC2's `InstanceLifecycle`: `spot`, `scheduled`, `capacity-block`; nothing for on demand.
    pub lifecycle: Option<String>,
    /// EC2's `Tenancy`, unless it is `default`: `dedicated` or `host`.
    pub tenancy: Option<String>,
    /// The Dedicated Host, or the resource group of hosts, that the instance is bound to.
    pub host: Option<String>,
    /// The placement group of the instance.
    pub placement_group: Option<String>,
    /// The partition of the placement group.
    pub partition: Option<i32>,
    /// The Capacity Reservation, or group of reservations, that the instance targets or last ran in; else its preference, unless that
    /// is `open`.
    pub reservation: Option<String>,
}

/// The type of the root volume: only instances on EBS can be stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RootDevice {
    /// An EBS volume.
    Ebs,
    /// Instance store: the instance can be terminated but not stopped.
    InstanceStore,
}

/// Whether an instance can hibernate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hibernation {
    /// The instance was launched with hibernation configured.
    Configured,
    /// Only a plain stop is possible.
    NotConfigured,
}

/// EC2's `StateReason`: a code and a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StateReason {
    /// The code, for example `Server.InsufficientInstanceCapacity`.
    pub code: String,
    /// The message, in one sentence.
    pub message: String,
}

/// The codes that have an effect on decisions.
/// <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_StateReason.html>
impl StateReason {
    /// EC2 accepted a start, and then could not use a resource on behalf of the caller.
    pub const NOT_STARTED: &'static str = "Client.InternalError";

    /// Returns EC2's message, with a hint if the message does not name the usual cause.
    /// <https://repost.aws/knowledge-center/kms-iam-ec2-permission>
    pub fn message_with_hint(&self) -> String {
        const HINT: &str = "often a volume's customer-managed KMS key, or a license, that the start may not use: name it in `[stack] kms_keys` or `licenses`";
        match self.code.as_str() {
            Self::NOT_STARTED => format!("{}; {HINT}", self.message),
            _ => self.message.clone(),
        }
    }

    /// An API call stopped the instance.
    pub const USER_STOPPED: &'static str = "Client.UserInitiatedShutdown";
    /// An API call hibernated the instance.
    pub const USER_HIBERNATED: &'static str = "Client.UserInitiatedHibernate";
    /// The operating system of the instance shut down.
    pub const SHUT_DOWN_FROM_INSIDE: &'static str = "Client.InstanceInitiatedShutdown";
    /// EC2 accepted a start, and then had no capacity for it.
    pub const NO_CAPACITY: &'static str = "Server.InsufficientInstanceCapacity";
    /// All codes with which a running instance is stopped. The others are those of failed starts.
    const OF_STOPS: [&'static str; 5] = [
        Self::USER_STOPPED,
        Self::USER_HIBERNATED,
        Self::SHUT_DOWN_FROM_INSIDE,
        "Server.ScheduledStop",
        "Server.SpotInstanceShutdown",
    ];
}

/// EC2's instance states.
///
/// <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-instance-lifecycle.html>
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum InstanceState {
    /// Being launched or started.
    Pending,
    /// Running, and paid for.
    Running,
    /// On its way to stopped.
    Stopping,
    /// Stopped; only its volumes are paid for.
    Stopped,
    /// On its way to terminated.
    ShuttingDown,
    /// Terminated; EC2 removes it from its answers after a while.
    Terminated,
    /// A state that EC2 does not document; Curfew does not act on the instance, and the skip reason names the state.
    Other,
}

impl InstanceState {
    /// Every state, in the order of an instance's life.
    pub const ALL: [Self; 7] = [
        Self::Pending,
        Self::Running,
        Self::Stopping,
        Self::Stopped,
        Self::ShuttingDown,
        Self::Terminated,
        Self::Other,
    ];

    /// Returns EC2's name of the state, or `other`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::ShuttingDown => "shutting-down",
            Self::Terminated => "terminated",
            Self::Other => "other",
        }
    }
}

impl fmt::Display for InstanceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for InstanceState {
    type Err = UnknownState;

    fn from_str(text: &str) -> Result<Self, UnknownState> {
        let mut states = Self::ALL.into_iter();
        states
            .find(|state| state.as_str() == text)
            .ok_or_else(|| UnknownState(text.to_owned()))
    }
}

/// A name that is not one of the states that EC2 documents.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not an EC2 instance state")]
pub struct UnknownState(String);

/// The id of an instance: `i-` and 8 or 17 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(try_from = "String", into = "String")]
pub struct InstanceId(String);

string_newtype!(InstanceId, parsed);

impl FromStr for InstanceId {
    type Err = MalformedId;

    fn from_str(text: &str) -> Result<Self, MalformedId> {
        let digits = text.strip_prefix("i-").unwrap_or_default();
        let well_formed = matches!(digits.len(), 8 | 17)
            && digits
                .bytes()
                .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if well_formed {
            Ok(Self(text.to_owned()))
        } else {
            Err(MalformedId(text.chars().take(40).collect()))
        }
    }
}

/// A text that is not an instance id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not an instance id: `i-` and 8 or 17 hexadecimal digits, such as `i-0abc1234def567890`", .0.escape_debug())]
pub struct MalformedId(String);

/// The name of an instance type, for example `m7i-flex.large`. Only its form is checked, not whether AWS offers the type.
///
/// ```
/// use curfew_core::instance::InstanceType;
///
/// assert!("u-6tb1.112xlarge".parse::<InstanceType>().is_ok());
/// assert!("large".parse::<InstanceType>().is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct InstanceType(String);

string_newtype!(InstanceType);

impl InstanceType {
    /// The maximum length of a name; the longest at present has 19 characters. Two names and a separator must fit into the 256
    /// characters of a tag.
    const MAX_CHARACTERS: usize = 64;
}

impl FromStr for InstanceType {
    type Err = MalformedType;

    fn from_str(text: &str) -> Result<Self, MalformedType> {
        let is_part = |part: &str| {
            let mut bytes = part.bytes();
            bytes
                .next()
                .is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
                && bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        };
        let well_formed = text.len() <= Self::MAX_CHARACTERS
            && text
                .split_once('.')
                .is_some_and(|(family, size)| is_part(family) && is_part(size));
        if well_formed {
            Ok(Self(text.to_owned()))
        } else {
            Err(MalformedType(text.chars().take(40).collect()))
        }
    }
}

/// A text that is not an instance type's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not an instance type: a family and a size, such as `m5a.large`", .0.escape_debug())]
pub struct MalformedType(String);

/// An AWS region, for example `eu-west-3`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct Region(String);

string_newtype!(Region, unchecked);

/// An AWS account id: twelve digits.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct AccountId(String);

string_newtype!(AccountId, unchecked);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support;

    #[test]
    fn an_id_has_8_or_17_hexadecimal_digits() {
        for good in ["i-0abc1234", "i-0abc1234def567890"] {
            assert_eq!(good.parse::<InstanceId>().unwrap().as_str(), good);
        }
        for bad in [
            "",
            "i-",
            "i-xyz",
            "i-0ABC1234",
            "0abc1234",
            "i-0abc12345",
            "i-0abc1234\n",
        ] {
            let error = bad.parse::<InstanceId>().unwrap_err().to_string();
            assert!(
                error.contains("is not an instance id") && !error.contains('\n'),
                "{error}"
            );
        }
    }

    #[test]
    fn the_time_of_a_stop_by_a_call_is_read_from_the_transition_reason() {
        let mut instance = test_support::instance("web");
        assert_eq!(instance.user_stopped_at(), None);
        instance.transition_reason = Some("User initiated (2026-11-23 19:00:00 GMT)".into());
        assert_eq!(
            instance.user_stopped_at(),
            Some("2026-11-23T19:00:00Z".parse().unwrap())
        );
        instance.state_reason = Some(StateReason {
            code: StateReason::USER_STOPPED.into(),
            message: String::new(),
        });
        assert!(instance.user_stopped_at().is_some());
        instance.state_reason = Some(StateReason {
            code: StateReason::USER_HIBERNATED.into(),
            message: String::new(),
        });
        assert!(instance.user_stopped_at().is_some());
        instance.state_reason = Some(StateReason {
            code: "Client.InternalError".into(),
            message: String::new(),
        });
        assert_eq!(
            instance.user_stopped_at(),
            None,
            "a start that failed on an encrypted volume is not a stop by a call"
        );
    }

    #[test]
    fn an_instance_stopped_for_hibernation_or_an_unknown_reason_may_be_hibernated() {
        use Hibernation::{Configured, NotConfigured};
        let mut instance = test_support::instance("web");
        instance.state = InstanceState::Stopped;
        let mut may_be_hibernated = |hibernation, code: Option<&str>| {
            instance.hibernation = hibernation;
            instance.state_reason = code.map(|code| StateReason {
                code: code.into(),
                message: String::new(),
            });
            instance.may_be_hibernated()
        };
        assert!(may_be_hibernated(
            Configured,
            Some("Client.UserInitiatedHibernate")
        ));
        assert!(may_be_hibernated(Configured, None), "unknown reason");
        assert!(!may_be_hibernated(
            Configured,
            Some("Client.UserInitiatedShutdown")
        ));
        assert!(!may_be_hibernated(NotConfigured, None));
    }

    #[test]
    fn a_type_is_a_family_and_a_size() {
        for good in [
            "t3.micro",
            "m7i-flex.large",
            "u-6tb1.112xlarge",
            "mac2-m2pro.metal",
            "c6g.metal",
        ] {
            assert_eq!(good.parse::<InstanceType>().unwrap().as_str(), good);
        }
        for bad in [
            "",
            "t3",
            "t3.",
            ".micro",
            "t3.micro.x",
            "T3.micro",
            "t3 .micro",
            "-t3.micro",
            "t3.micro\n",
        ] {
            assert!(bad.parse::<InstanceType>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_blank_name_is_no_name() {
        let mut instance = test_support::instance("web");
        assert_eq!(instance.name(), Some("web"));
        instance.tags.insert("Name".into(), "  ".into());
        assert_eq!(instance.name(), None);
    }
}
