//! What EC2 knows of one instance.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;

use crate::ids::{Ec2InstanceId, Home};

/// The states of *Amazon EC2 instance state changes* (EC2 User Guide).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ec2InstanceState {
    /// On its way to running.
    Pending,
    /// Billed and reachable.
    Running,
    /// On its way to terminated.
    ShuttingDown,
    /// Gone; still described for about an hour.
    Terminated,
    /// On its way to stopped.
    Stopping,
    /// Can be started again.
    Stopped,
}

impl Ec2InstanceState {
    /// EC2's number for the state (`InstanceState` in the API Reference).
    pub fn code(self) -> u16 {
        match self {
            Self::Pending => 0,
            Self::Running => 16,
            Self::ShuttingDown => 32,
            Self::Terminated => 48,
            Self::Stopping => 64,
            Self::Stopped => 80,
        }
    }

    /// EC2's name for the state.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::ShuttingDown => "shutting-down",
            Self::Terminated => "terminated",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
        }
    }
}

impl fmt::Display for Ec2InstanceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why an instance came to be in its state; the codes of `StateReason` in the API Reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ec2StateReason {
    /// Such as `Client.UserInitiatedShutdown`.
    pub code: String,
    /// The code and a sentence.
    pub message: String,
}

impl Ec2StateReason {
    /// A reason of any code, its message in EC2's form `CODE: SENTENCE`.
    pub fn new(code: &str, sentence: &str) -> Self {
        Self {
            code: code.to_owned(),
            message: format!("{code}: {sentence}"),
        }
    }

    /// Somebody stopped or terminated it through the API.
    pub fn user_shutdown() -> Self {
        Self::new("Client.UserInitiatedShutdown", "User initiated shutdown")
    }

    /// Somebody hibernated it through the API.
    pub fn user_hibernate() -> Self {
        Self::new("Client.UserInitiatedHibernate", "User initiated hibernate")
    }

    /// Its own operating system shut down.
    pub fn instance_shutdown() -> Self {
        Self::new(
            "Client.InstanceInitiatedShutdown",
            "Instance initiated shutdown",
        )
    }

    /// AWS stopped it for the retirement of its host.
    pub fn scheduled_stop() -> Self {
        Self::new(
            "Server.ScheduledStop",
            "Stopped due to scheduled retirement",
        )
    }

    /// AWS took back the capacity of a Spot Instance.
    pub fn spot_interruption() -> Self {
        Self::new("Server.SpotInstanceShutdown", "Spot instance shutdown")
    }

    /// The start was accepted, then there was no room.
    pub fn no_capacity() -> Self {
        Self::new(
            "Server.InsufficientInstanceCapacity",
            "Insufficient capacity to satisfy the launch request",
        )
    }

    /// The start was accepted, then the key of an encrypted volume could not be used.
    pub fn kms_key() -> Self {
        Self::new("Client.InternalError", "Client error on launch")
    }
}

/// Where the root volume is. An instance with an instance-store root can't be stopped (`StopInstances`, API Reference).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RootDeviceType {
    /// A network volume that outlives a stop.
    Ebs,
    /// A disk of the host.
    InstanceStore,
}

/// Whether hibernation was enabled at launch; it can't be changed later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HibernationOption {
    /// `HibernationOptions.Configured` is true.
    Configured,
    /// It is not, and a hibernating stop is refused.
    NotConfigured,
}

/// Whether `disableApiStop` is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopProtection {
    /// A stop through the API is refused with `OperationNotPermitted`.
    On,
    /// It is not.
    Off,
}

/// The two kinds of Spot Instance request; only instances of a persistent one can be stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpotKind {
    /// Ends with its instance.
    OneTime,
    /// Stays open and can be fulfilled again.
    Persistent,
}

impl SpotKind {
    /// EC2's name for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::OneTime => "one-time",
            Self::Persistent => "persistent",
        }
    }
}

/// The Spot Instance request behind an instance. State and status follow the instance (*Spot request status codes*, EC2 User Guide).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpotRequest {
    /// `sir-` and eight characters.
    pub id: String,
    /// One-time or persistent.
    pub kind: SpotKind,
    /// `active`, `disabled` (its instance is stopped), `open` or `closed`.
    pub state: &'static str,
    /// Such as `fulfilled` or `instance-stopped-by-user`.
    pub status: &'static str,
    /// When the request was made.
    pub created: Timestamp,
}

/// Where an instance is placed, besides its zone: with its type, zone and purchase option, what it shares capacity with.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Placement {
    /// `dedicated` or `host`; nothing for the default.
    pub tenancy: Option<String>,
    /// The name of its placement group.
    pub group: Option<String>,
    /// The Capacity Reservation that it targets.
    pub reservation: Option<String>,
}

/// What shares capacity.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct ModelCapacityPool {
    pub(crate) instance_type: String,
    pub(crate) zone: String,
    pub(crate) spot: bool,
    pub(crate) placement: Placement,
}

impl ModelCapacityPool {
    /// Of instances on demand, placed anywhere in the zone.
    pub(crate) fn plain(instance_type: &str, zone: &str) -> Self {
        Self {
            instance_type: instance_type.to_owned(),
            zone: zone.to_owned(),
            spot: false,
            placement: Placement::default(),
        }
    }
}

/// An instance as the service knows it. A value: changing it changes nothing in the model.
#[derive(Debug, Clone)]
pub struct Ec2Instance {
    /// Its id.
    pub id: Ec2InstanceId,
    /// Its account and region.
    pub home: Arc<Home>,
    /// The launch it came from.
    pub reservation: Arc<str>,
    /// Such as `m5.large`.
    pub instance_type: String,
    /// Such as `us-east-1a`.
    pub zone: String,
    /// The image it was launched from.
    pub image: String,
    /// Its address in the VPC.
    pub private_ip: String,
    /// Where its root volume is.
    pub root: RootDeviceType,
    /// Whether it can hibernate.
    pub hibernation: HibernationOption,
    /// Whether a stop is refused.
    pub stop_protection: StopProtection,
    /// The request behind a Spot Instance.
    pub spot: Option<SpotRequest>,
    /// Where it is placed, besides its zone.
    pub placement: Placement,
    /// Elements at the end of its description.
    pub xml: String,
    /// Its state.
    pub state: Ec2InstanceState,
    /// The word and the number that describe its state, where they are none that EC2 documents.
    pub(crate) described_as: Option<(&'static str, u16)>,
    /// When it was last started (`Instance.LaunchTime`: "the time that the instance was last launched").
    pub launch_time: Timestamp,
    /// EC2's `StateTransitionReason`, such as `User initiated (2026-11-23 19:00:00 GMT)`; empty while it runs.
    pub transition_reason: String,
    /// EC2's `StateReason`.
    pub state_reason: Option<Ec2StateReason>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// Since when it has been running, while it is.
    pub running_since: Option<Timestamp>,
    /// Whether it has ever been running: a first `pending` can't be stopped, a later one can.
    pub(crate) ever_ran: bool,
    /// Which scheduled change of state counts; an older one is stale.
    pub(crate) scheduled_change: u64,
}

impl Ec2Instance {
    /// The VPC, one per account and region as every account has by default.
    pub fn vpc(&self) -> String {
        format!("vpc-{:08x}", fold(&[&self.home.account, &self.home.region]))
    }

    /// The subnet, one per zone.
    pub fn subnet(&self) -> String {
        format!("subnet-{:08x}", fold(&[&self.home.account, &self.zone]))
    }

    pub(crate) fn pool(&self) -> ModelCapacityPool {
        ModelCapacityPool {
            instance_type: self.instance_type.clone(),
            zone: self.zone.clone(),
            spot: self.spot.is_some(),
            placement: self.placement.clone(),
        }
    }

    /// The resource name that events and policies use.
    pub fn arn(&self) -> String {
        instance_arn(&self.home, self.id.as_str())
    }
}

/// The resource name of an instance.
pub(crate) fn instance_arn(home: &Home, id: &str) -> String {
    format!("arn:aws:ec2:{}:{}:instance/{id}", home.region, home.account)
}

/// FNV-1a: a short name that depends on nothing but the parts.
fn fold(parts: &[&str]) -> u32 {
    parts
        .iter()
        .flat_map(|part| part.bytes())
        .fold(0x811c_9dc5, |hash, byte| {
            (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
        })
}
