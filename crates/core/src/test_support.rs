//! Test data for this crate's unit tests.

use std::collections::BTreeMap;

use crate::configuration::RawScheduleSet;
use crate::instance::{
    AccountId, CapacitySource, Hibernation, Instance, InstanceState, Purchase, Region, RootDevice,
};
use crate::schedule_set::ScheduleSet;

/// Returns the schedules of a configuration document.
pub(crate) fn schedule_set(document: &str) -> ScheduleSet {
    let raw = RawScheduleSet::from_json(document).unwrap();
    raw.resolve().unwrap()
}

/// Returns a running on-demand instance, launched on 2026-11-02, with the tag `Name` and no other tags.
pub(crate) fn instance(name: &str) -> Instance {
    Instance {
        id: "i-0abc1234def567890".parse().unwrap(),
        region: Region::new("eu-west-3"),
        account: AccountId::new("123456789012"),
        state: InstanceState::Running,
        state_word: None,
        launched_at: Some("2026-11-02T15:00:00Z".parse().unwrap()),
        instance_type: "t3.micro".into(),
        availability_zone: Some("eu-west-3a".into()),
        tags: BTreeMap::from([("Name".to_owned(), name.to_owned())]),
        purchase: Purchase::OnDemand,
        capacity: CapacitySource::default(),
        operator: None,
        root_device: RootDevice::Ebs,
        hibernation: Hibernation::NotConfigured,
        state_reason: None,
        transition_reason: None,
    }
}
