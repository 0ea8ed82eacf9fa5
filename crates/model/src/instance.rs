//! An instance as EC2 describes it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;

use crate::ids::{Ec2InstanceId, Home};

/// The states of *Amazon EC2 instance state changes* (EC2 User Guide).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ec2InstanceState {
    /// Started and not running yet.
    Pending,
    /// Running and billed.
    Running,
    /// On the way to terminated.
    ShuttingDown,
    /// Terminated; still described for about an hour.
    Terminated,
    /// On the way to stopped.
    Stopping,
    /// Stopped; can be started again.
    Stopped,
}

impl Ec2InstanceState {
    /// EC2's code of the state (`InstanceState` in the API Reference).
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

    /// EC2's name of the state.
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

/// The reason of an instance's state; the codes of `StateReason` in the API Reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ec2StateReason {
    /// The code, such as `Client.UserInitiatedShutdown`.
    pub code: String,
    /// The message, which begins with the code.
    pub message: String,
}

impl Ec2StateReason {
    /// Creates a reason with a message in EC2's form `CODE: SENTENCE`.
    pub fn new(code: &str, sentence: &str) -> Self {
        Self {
            code: code.to_owned(),
            message: format!("{code}: {sentence}"),
        }
    }

    /// A stop or termination through the API.
    pub fn user_shutdown() -> Self {
        Self::new("Client.UserInitiatedShutdown", "User initiated shutdown")
    }

    /// A hibernation through the API.
    pub fn user_hibernate() -> Self {
        Self::new("Client.UserInitiatedHibernate", "User initiated hibernate")
    }

    /// A shutdown by the instance's operating system.
    pub fn instance_shutdown() -> Self {
        Self::new(
            "Client.InstanceInitiatedShutdown",
            "Instance initiated shutdown",
        )
    }

    /// A stop by AWS for the retirement of the host.
    pub fn scheduled_stop() -> Self {
        Self::new(
            "Server.ScheduledStop",
            "Stopped due to scheduled retirement",
        )
    }

    /// A Spot interruption.
    pub fn spot_interruption() -> Self {
        Self::new("Server.SpotInstanceShutdown", "Spot instance shutdown")
    }

    /// A start that was accepted and then lacked capacity.
    pub fn no_capacity() -> Self {
        Self::new(
            "Server.InsufficientInstanceCapacity",
            "Insufficient capacity to satisfy the launch request",
        )
    }

    /// A start that was accepted and then could not use the key of an encrypted volume.
    pub fn kms_key() -> Self {
        Self::new("Client.InternalError", "Client error on launch")
    }
}

/// The type of the root volume. An instance with an instance-store root can't be stopped (`StopInstances`, API
/// Reference).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RootDeviceType {
    /// A network volume that persists across a stop.
    Ebs,
    /// A disk of the host.
    InstanceStore,
}

/// Whether hibernation was enabled at launch; it can't be changed later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HibernationOption {
    /// `HibernationOptions.Configured` is true.
    Configured,
    /// Not configured: a hibernating stop is refused.
    NotConfigured,
}

/// Whether `disableApiStop` is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopProtection {
    /// A stop through the API is refused with `OperationNotPermitted`.
    On,
    /// A stop is allowed.
    Off,
}

/// The two kinds of Spot Instance request; only instances of a persistent one can be stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpotKind {
    /// Closes with its instance.
    OneTime,
    /// Stays open and can be fulfilled again.
    Persistent,
}

impl SpotKind {
    /// EC2's name of the kind.
    pub fn name(self) -> &'static str {
        match self {
            Self::OneTime => "one-time",
            Self::Persistent => "persistent",
        }
    }
}

/// The request of a Spot Instance. State and status follow the instance (*Spot request status codes*, EC2 User Guide).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpotRequest {
    /// The id, `sir-` and eight characters.
    pub id: String,
    /// The kind of the request.
    pub kind: SpotKind,
    /// The state: `active`, `disabled` (its instance is stopped), `open` or `closed`.
    pub state: &'static str,
    /// The status code, such as `fulfilled` or `instance-stopped-by-user`.
    pub status: &'static str,
    /// When the request was made.
    pub created: Timestamp,
}

/// The placement of an instance within its zone; together with type, zone and purchase option it determines the shared
/// capacity.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Placement {
    /// `dedicated` or `host`; `None` is the default tenancy.
    pub tenancy: Option<String>,
    /// The name of the placement group.
    pub group: Option<String>,
    /// The targeted Capacity Reservation.
    pub reservation: Option<String>,
}

/// The instances that share capacity.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct ModelCapacityPool {
    pub(crate) instance_type: String,
    pub(crate) zone: String,
    pub(crate) spot: bool,
    pub(crate) placement: Placement,
}

impl ModelCapacityPool {
    /// A pool of On-Demand instances without placement in the zone.
    pub(crate) fn plain(instance_type: &str, zone: &str) -> Self {
        Self {
            instance_type: instance_type.to_owned(),
            zone: zone.to_owned(),
            spot: false,
            placement: Placement::default(),
        }
    }
}

/// An instance as the service describes it. A copy: changing it does not change the model.
#[derive(Debug, Clone)]
pub struct Ec2Instance {
    /// The instance id.
    pub id: Ec2InstanceId,
    /// The owning account and region.
    pub home: Arc<Home>,
    /// The id of the reservation.
    pub reservation: Arc<str>,
    /// The instance type, such as `m5.large`.
    pub instance_type: String,
    /// The Availability Zone, such as `us-east-1a`.
    pub zone: String,
    /// The image id.
    pub image: String,
    /// The private IP address.
    pub private_ip: String,
    /// The type of the root volume.
    pub root: RootDeviceType,
    /// Whether hibernation is configured.
    pub hibernation: HibernationOption,
    /// Whether stop protection is set.
    pub stop_protection: StopProtection,
    /// The request of a Spot Instance.
    pub spot: Option<SpotRequest>,
    /// The placement within the zone.
    pub placement: Placement,
    /// XML elements to append to the description.
    pub xml: String,
    /// The current state.
    pub state: Ec2InstanceState,
    /// The name and code that describe the state instead, to simulate an undocumented state.
    pub(crate) described_as: Option<(&'static str, u16)>,
    /// When the instance was last started (`Instance.LaunchTime`: "the time that the instance was last launched").
    pub launch_time: Timestamp,
    /// EC2's `StateTransitionReason`, such as `User initiated (2026-11-23 19:00:00 GMT)`; empty while it runs.
    pub transition_reason: String,
    /// The `StateReason` as EC2 describes it.
    pub state_reason: Option<Ec2StateReason>,
    /// The tags by key.
    pub tags: BTreeMap<String, String>,
    /// The start of the current run, while it is running.
    pub running_since: Option<Timestamp>,
    /// Whether it has ever been running: a first `pending` can't be stopped, a later one can.
    pub(crate) ever_ran: bool,
    /// The number of the scheduled change that applies; older ones are obsolete.
    pub(crate) scheduled_change: u64,
}

impl Ec2Instance {
    /// The VPC id, one per account and region, like the default VPC.
    pub fn vpc(&self) -> String {
        format!("vpc-{:08x}", fold(&[&self.home.account, &self.home.region]))
    }

    /// The subnet id, one per zone.
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

    /// Returns the ARN of the instance.
    pub fn arn(&self) -> String {
        instance_arn(&self.home, self.id.as_str())
    }
}

/// Returns the ARN of an instance.
pub(crate) fn instance_arn(home: &Home, id: &str) -> String {
    format!("arn:aws:ec2:{}:{}:instance/{id}", home.region, home.account)
}

/// FNV-1a: an id that depends only on the parts.
fn fold(parts: &[&str]) -> u32 {
    parts
        .iter()
        .flat_map(|part| part.bytes())
        .fold(0x811c_9dc5, |hash, byte| {
            (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
        })
}
