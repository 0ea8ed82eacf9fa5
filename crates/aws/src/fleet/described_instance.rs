//! Converts EC2's description of an instance to what a decision needs.

use aws_sdk_ec2::types::{
    CapacityReservationPreference, DeviceType, Instance as Ec2Instance, InstanceLifecycleType,
    Placement, Tenancy,
};
use curfew_core::instance::{
    AccountId, CapacitySource, Hibernation, Instance, InstanceId, InstanceState, Purchase, Region,
    RootDevice, StateReason,
};
use jiff::Timestamp;
use tokio::time::Instant;

/// An instance as described by EC2.
pub(super) struct DescribedInstance {
    /// A Spot Instance counts as one-time until its request is known to be persistent.
    pub(super) instance: Instance,
    /// The Spot request that launched it.
    pub(super) spot_request: Option<String>,
    /// When the call that described it was begun.
    pub(super) begun: Instant,
}

impl DescribedInstance {
    pub(super) fn of(
        raw: Ec2Instance,
        owner: &str,
        region: &Region,
        begun: Instant,
    ) -> Result<Self, String> {
        let (id, state, state_word) = identity(&raw)?;
        let spot = raw.instance_lifecycle == Some(InstanceLifecycleType::Spot);
        let hibernation = raw
            .hibernation_options
            .as_ref()
            .and_then(|options| options.configured)
            .unwrap_or_default();
        let capacity = capacity(&raw);
        let tags = raw
            .tags
            .unwrap_or_default()
            .into_iter()
            .filter_map(|tag| Some((tag.key?, tag.value?)))
            .collect();
        let instance = Instance {
            id,
            region: region.clone(),
            account: AccountId::new(owner),
            state,
            state_word,
            launched_at: raw
                .launch_time
                .and_then(|time| Timestamp::from_second(time.secs()).ok()),
            instance_type: raw
                .instance_type
                .map(|name| name.as_str().to_owned())
                .unwrap_or_default(),
            availability_zone: raw
                .placement
                .and_then(|placement| placement.availability_zone),
            tags,
            purchase: if spot {
                Purchase::OneTimeSpot
            } else {
                Purchase::OnDemand
            },
            capacity,
            operator: raw
                .operator
                .filter(|operator| operator.managed == Some(true))
                .map(|operator| operator.principal.unwrap_or_default()),
            root_device: match raw.root_device_type {
                Some(DeviceType::InstanceStore) => RootDevice::InstanceStore,
                _ => RootDevice::Ebs,
            },
            hibernation: if hibernation {
                Hibernation::Configured
            } else {
                Hibernation::NotConfigured
            },
            state_reason: raw.state_reason.map(|reason| StateReason {
                code: reason.code.unwrap_or_default(),
                message: reason.message.unwrap_or_default(),
            }),
            transition_reason: raw
                .state_transition_reason
                .filter(|reason| !reason.is_empty()),
        };
        Ok(Self {
            instance,
            spot_request: raw.spot_instance_request_id.filter(|_| spot),
            begun,
        })
    }
}

/// What the instance's next start competes for besides its type and zone.
fn capacity(raw: &Ec2Instance) -> CapacitySource {
    let named = |text: Option<&str>| text.filter(|text| !text.is_empty()).map(str::to_owned);
    let placement = raw.placement.as_ref();
    let of_placement = |text: fn(&Placement) -> Option<&str>| named(placement.and_then(text));
    let specification = raw.capacity_reservation_specification.as_ref();
    let target = specification.and_then(|all| all.capacity_reservation_target.as_ref());
    let preference = specification
        .and_then(|all| all.capacity_reservation_preference.as_ref())
        .filter(|preference| **preference != CapacityReservationPreference::Open);
    CapacitySource {
        lifecycle: raw
            .instance_lifecycle
            .as_ref()
            .map(|lifecycle| lifecycle.as_str().to_owned()),
        tenancy: placement
            .and_then(|placement| placement.tenancy.as_ref())
            .filter(|tenancy| **tenancy != Tenancy::Default)
            .map(|tenancy| tenancy.as_str().to_owned()),
        host: of_placement(|placement| {
            let group = placement.host_resource_group_arn.as_deref();
            placement.host_id.as_deref().or(group)
        }),
        placement_group: of_placement(|placement| {
            let id = placement.group_id.as_deref();
            placement
                .group_name
                .as_deref()
                .filter(|name| !name.is_empty())
                .or(id)
        }),
        partition: placement.and_then(|placement| placement.partition_number),
        reservation: target
            .and_then(|target| {
                let group = target.capacity_reservation_resource_group_arn.as_deref();
                named(target.capacity_reservation_id.as_deref().or(group))
            })
            .or_else(|| named(raw.capacity_reservation_id.as_deref()))
            .or_else(|| named(preference.map(CapacityReservationPreference::as_str))),
    }
}

/// The required fields. A state unknown to Curfew is kept as text.
fn identity(raw: &Ec2Instance) -> Result<(InstanceId, InstanceState, Option<String>), String> {
    let id = raw.instance_id.as_deref().unwrap_or_default();
    let name = raw.state.as_ref().and_then(|state| state.name.as_ref());
    let text = name.map_or("", |name| name.as_str());
    let id = id.parse().map_err(|error| format!("{error}"))?;
    Ok(match text.parse() {
        Ok(state) => (id, state, None),
        Err(_) => (id, InstanceState::Other, Some(text.to_owned())),
    })
}
