//! One EC2 instance as Curfew sees it: what EC2 says, reduced to what a decision needs.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::string_newtype;

/// An EC2 instance as observed in one pass.
#[derive(Clone, Debug, PartialEq)]
pub struct Instance {
    /// `i-` and 8 or 17 hexadecimal digits.
    pub id: InstanceId,
    /// The region it lives in.
    pub region: Region,
    /// The account that owns it: twelve digits.
    pub account: AccountId,
    /// Its state.
    pub state: InstanceState,
    /// EC2's own word for a state that is [`InstanceState::Other`].
    pub state_word: Option<String>,
    /// When it was last started (AWS), or first launched (emulators, which never move it).
    pub launched_at: Option<Timestamp>,
    /// For example `t3.micro`.
    pub instance_type: String,
    /// The availability zone, for example `eu-west-3a`.
    pub availability_zone: Option<String>,
    /// All its tags, Curfew's own included.
    pub tags: BTreeMap<String, String>,
    /// How it is paid for, where that limits what may be done to it.
    pub purchase: Purchase,
    /// Where its next start takes its capacity from, besides its type and zone.
    pub capacity: CapacitySource,
    /// The principal of the AWS service that manages it, such as `eks.amazonaws.com`, by EC2's `Operator`; empty where EC2 does
    /// not name it, nothing where none does.
    pub operator: Option<String>,
    /// What its root volume is.
    pub root_device: RootDevice,
    /// Whether it was launched with hibernation enabled.
    pub hibernation: Hibernation,
    /// EC2's code for its latest state change, for example `Client.UserInitiatedShutdown`.
    pub state_reason: Option<StateReason>,
    /// EC2's sentence for its latest state change, for example `User initiated (2026-11-23 19:00:00 GMT)`.
    pub transition_reason: Option<String>,
}

impl Instance {
    /// The `Name` tag, unless it is missing or blank.
    pub fn name(&self) -> Option<&str> {
        self.tags
            .get("Name")
            .map(|name| name.trim())
            .filter(|name| !name.is_empty())
    }

    /// When a person stopped or hibernated this instance, as far as EC2 tells: its reason says *user* and carries a time.
    ///
    /// AWS writes `User initiated (2026-11-23 19:00:00 GMT)`, whoever's credentials made the call, Curfew's included.
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

    /// Why its latest start did not lead to running, by EC2's word: it is stopped, and for no reason that stops an instance
    /// which runs.
    pub fn failed_start(&self) -> Option<&StateReason> {
        let stopped = self.state == InstanceState::Stopped;
        let reason = self.state_reason.as_ref().filter(|_| stopped)?;
        (!StateReason::OF_STOPS.contains(&reason.code.as_str())).then_some(reason)
    }

    /// Whether the contents of its memory may wait on its root volume to be resumed. EC2's reason for the stop tells;
    /// emulators give none, and then an instance that can hibernate may have.
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

/// How an instance is bought, as far as that limits stopping it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purchase {
    /// On demand, reserved, or anything else that may be stopped at will.
    OnDemand,
    /// A persistent Spot request: EC2 allows stop and start.
    PersistentSpot,
    /// A one-time Spot request: stopping it is not possible.
    OneTimeSpot,
    /// A Spot request that could not be read: whether it may be stopped is unknown.
    UnknownSpot {
        /// Why not: AWS's answer, in one sentence.
        problem: String,
    },
}

/// What the capacity for an instance is shared with, besides its type and zone: two instances of one type, zone and source compete
/// for the same capacity, and a lack of it for one says nothing about another source.
///
/// <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_Placement.html>,
/// <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CapacityReservationSpecificationResponse.html>
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CapacitySource {
    /// EC2's `InstanceLifecycle`: `spot`, `scheduled`, `capacity-block`; nothing for on demand.
    pub lifecycle: Option<String>,
    /// EC2's `Tenancy`, unless it is `default`: `dedicated` or `host`.
    pub tenancy: Option<String>,
    /// The Dedicated Host, or the resource group of hosts, that it is bound to.
    pub host: Option<String>,
    /// Its placement group.
    pub placement_group: Option<String>,
    /// Its partition of the placement group.
    pub partition: Option<i32>,
    /// The Capacity Reservation or group of them that it targets or last ran in, or its preference, unless that is `open`.
    pub reservation: Option<String>,
}

/// What the root volume is: only EBS survives a stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RootDevice {
    /// An EBS volume.
    Ebs,
    /// Instance store: the instance can be terminated, never stopped.
    InstanceStore,
}

/// Whether an instance can hibernate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hibernation {
    /// Launched with hibernation configured.
    Configured,
    /// Only a plain stop is possible.
    NotConfigured,
}

/// EC2's `StateReason`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StateReason {
    /// For example `Server.InsufficientInstanceCapacity`.
    pub code: String,
    /// EC2's sentence.
    pub message: String,
}

/// EC2's codes that mean something here.
/// <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_StateReason.html>
impl StateReason {
    /// A start was accepted, and then EC2 could not use something in its caller's name.
    pub const NOT_STARTED: &'static str = "Client.InternalError";

    /// EC2's sentence, and where it does not name the usual cause, what to look at.
    /// <https://repost.aws/knowledge-center/kms-iam-ec2-permission>
    pub fn explained(&self) -> String {
        const HINT: &str = "often a volume's customer-managed KMS key, or a license, that the start may not use: name it in `[stack] kms_keys` or `licenses`";
        match self.code.as_str() {
            Self::NOT_STARTED => format!("{}; {HINT}", self.message),
            _ => self.message.clone(),
        }
    }

    /// Stopped by a call.
    pub const USER_STOPPED: &'static str = "Client.UserInitiatedShutdown";
    /// Hibernated by a call.
    pub const USER_HIBERNATED: &'static str = "Client.UserInitiatedHibernate";
    /// Shut down by its own operating system: by whoever works on it.
    pub const SHUT_DOWN_FROM_INSIDE: &'static str = "Client.InstanceInitiatedShutdown";
    /// A start was accepted, and then EC2 had no room for it.
    pub const NO_CAPACITY: &'static str = "Server.InsufficientInstanceCapacity";
    /// All reasons for which an instance that runs is stopped. The others are those of starts that failed.
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
    /// Gone.
    Terminated,
    /// A state that EC2 has not documented; the reason to leave the instance alone names it.
    Other,
}

impl InstanceState {
    /// Each of them.
    pub const ALL: [Self; 7] = [
        Self::Pending,
        Self::Running,
        Self::Stopping,
        Self::Stopped,
        Self::ShuttingDown,
        Self::Terminated,
        Self::Other,
    ];

    /// EC2's spelling, or `other`.
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

/// A state that EC2 has not documented.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not an EC2 instance state")]
pub struct UnknownState(String);

/// An instance's id.
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

/// Not an instance id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not an instance id: `i-` and 8 or 17 hexadecimal digits, such as `i-0abc1234def567890`", .0.escape_debug())]
pub struct MalformedId(String);

/// The name of an instance type, for example `m7i-flex.large`. Which types exist is AWS's to say.
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
    /// The longest today has 19 characters. Two of these and their joint must fit into a tag's 256.
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

/// Not an instance type's name.
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
#[serde(transparent)]
pub struct AccountId(String);

string_newtype!(AccountId, unchecked);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example;

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
    fn a_stop_by_a_person_is_read_from_ec2s_own_reason() {
        let mut instance = example::instance("web");
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
            "a volume that could not be decrypted is not a person"
        );
    }

    #[test]
    fn what_was_hibernated_may_wait_to_be_resumed() {
        use Hibernation::{Configured, NotConfigured};
        let mut instance = example::instance("web");
        instance.state = InstanceState::Stopped;
        let mut seen = |hibernation, code: Option<&str>| {
            instance.hibernation = hibernation;
            instance.state_reason = code.map(|code| StateReason {
                code: code.into(),
                message: String::new(),
            });
            instance.may_be_hibernated()
        };
        assert!(seen(Configured, Some("Client.UserInitiatedHibernate")));
        assert!(seen(Configured, None), "nobody knows");
        assert!(!seen(Configured, Some("Client.UserInitiatedShutdown")));
        assert!(!seen(NotConfigured, None));
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
        let mut instance = example::instance("web");
        assert_eq!(instance.name(), Some("web"));
        instance.tags.insert("Name".into(), "  ".into());
        assert_eq!(instance.name(), None);
    }
}
