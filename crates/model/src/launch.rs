//! Describes an instance that a test adds.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::ids::Home;
use crate::instance::{
    Ec2InstanceState, HibernationOption, Placement, RootDeviceType, SpotKind, StopProtection,
};

/// The tag that marks a member of an Auto Scaling group (*Tag Auto Scaling groups and instances*).
pub const AUTO_SCALING_TAG: &str = "aws:autoscaling:groupName";

/// An instance to add to the model, running by default.
///
/// [`Model::launch`](crate::Model::launch) adds it without a call, an event or a transition, as part of a test's
/// initial state. Use `RunInstances` over HTTP to observe a launch.
#[derive(Debug, Clone)]
pub struct Launch {
    pub(crate) home: Home,
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) instance_type: String,
    pub(crate) zone: Option<String>,
    pub(crate) image: String,
    pub(crate) state: Ec2InstanceState,
    pub(crate) launched_at: Option<Timestamp>,
    pub(crate) root: RootDeviceType,
    pub(crate) hibernation: HibernationOption,
    pub(crate) stop_protection: StopProtection,
    pub(crate) spot: Option<SpotKind>,
    pub(crate) spot_request: Option<String>,
    pub(crate) placement: Placement,
    pub(crate) xml: String,
}

impl Launch {
    /// A running `t3.micro` in account 000000000000, `us-east-1a`, with this `Name` tag.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            tags: BTreeMap::from([("Name".to_owned(), name.into())]),
            ..Self::unnamed()
        }
    }

    /// A running instance without tags.
    pub fn unnamed() -> Self {
        Self {
            home: Home::default(),
            tags: BTreeMap::new(),
            instance_type: "t3.micro".to_owned(),
            zone: None,
            image: "ami-0c0ffee0c0ffee000".to_owned(),
            state: Ec2InstanceState::Running,
            launched_at: None,
            root: RootDeviceType::Ebs,
            hibernation: HibernationOption::NotConfigured,
            stop_protection: StopProtection::Off,
            spot: None,
            spot_request: None,
            placement: Placement::default(),
            xml: String::new(),
        }
    }

    /// Adds a tag; `aws:` keys are allowed.
    #[must_use]
    pub fn tag(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.tags.insert(key.into(), value.into());
        self
    }

    /// Sets the account.
    #[must_use]
    pub fn account(mut self, account: impl Into<String>) -> Self {
        self.home.account = account.into();
        self
    }

    /// Sets the region; the zone is its first unless [`zone`](Self::zone) is set.
    #[must_use]
    pub fn region(mut self, region: impl Into<String>) -> Self {
        self.home.region = region.into();
        self
    }

    /// Sets the zone.
    #[must_use]
    pub fn zone(mut self, zone: impl Into<String>) -> Self {
        self.zone = Some(zone.into());
        self
    }

    /// Sets the instance type.
    #[must_use]
    pub fn instance_type(mut self, instance_type: impl Into<String>) -> Self {
        self.instance_type = instance_type.into();
        self
    }

    /// Sets the image.
    #[must_use]
    pub fn image(mut self, image: impl Into<String>) -> Self {
        self.image = image.into();
        self
    }

    /// Starts out stopped by a user at its launch time.
    #[must_use]
    pub fn stopped(mut self) -> Self {
        self.state = Ec2InstanceState::Stopped;
        self
    }

    /// Sets the launch time; the default is the model's `now`.
    #[must_use]
    pub fn launched_at(mut self, at: Timestamp) -> Self {
        self.launched_at = Some(at);
        self
    }

    /// Enables the instance for hibernation.
    #[must_use]
    pub fn hibernation(mut self) -> Self {
        self.hibernation = HibernationOption::Configured;
        self
    }

    /// Uses an instance-store root volume: it can't be stopped.
    #[must_use]
    pub fn instance_store(mut self) -> Self {
        self.root = RootDeviceType::InstanceStore;
        self
    }

    /// Sets stop protection.
    #[must_use]
    pub fn stop_protection(mut self) -> Self {
        self.stop_protection = StopProtection::On;
        self
    }

    /// Makes it a Spot Instance.
    #[must_use]
    pub fn spot(mut self, kind: SpotKind) -> Self {
        self.spot = Some(kind);
        self
    }

    /// Makes it a Spot Instance with this request id and kind.
    #[must_use]
    pub fn spot_request(mut self, id: impl Into<String>, kind: SpotKind) -> Self {
        self.spot_request = Some(id.into());
        self.spot(kind)
    }

    /// Sets the tenancy: `dedicated` or `host`.
    #[must_use]
    pub fn tenancy(mut self, tenancy: impl Into<String>) -> Self {
        self.placement.tenancy = Some(tenancy.into());
        self
    }

    /// Sets the placement group.
    #[must_use]
    pub fn placement_group(mut self, name: impl Into<String>) -> Self {
        self.placement.group = Some(name.into());
        self
    }

    /// Sets the targeted Capacity Reservation.
    #[must_use]
    pub fn capacity_reservation(mut self, id: impl Into<String>) -> Self {
        self.placement.reservation = Some(id.into());
        self
    }

    /// Appends XML elements to its description, in EC2's format.
    #[must_use]
    pub fn xml(mut self, elements: impl Into<String>) -> Self {
        self.xml = elements.into();
        self
    }

    /// Makes it a member of an Auto Scaling group.
    #[must_use]
    pub fn auto_scaling_group(self, group: impl Into<String>) -> Self {
        self.tag(AUTO_SCALING_TAG, group)
    }
}
