//! Instances, schedules and a day, for the tests of the daemon's tasks.

use curfew_core::configuration::RawScheduleSet;
use curfew_core::instance::{
    AccountId, CapacitySource, Hibernation, Instance, InstanceState, Purchase, Region, RootDevice,
};
use curfew_core::schedule_set::ScheduleSet;
use jiff::Timestamp;

/// A configuration with the schedule `office`.
pub(crate) const OFFICE: &str =
    r#"{"schedules": {"office": {"timezone": "UTC", "running": "Mon-Fri 08:00-20:00"}}}"#;

/// Parses the schedules of a document.
pub(crate) fn schedule_set(document: &str) -> ScheduleSet {
    RawScheduleSet::from_json(document)
        .unwrap()
        .resolve()
        .unwrap()
}

/// Returns a time, in UTC, of the Monday on which the tests take place.
pub(crate) fn at(time: &str) -> Timestamp {
    format!("2026-11-23T{time}Z").parse().unwrap()
}

/// Returns an instance that was launched weeks before the days of the tests.
pub(crate) fn instance(id: &str, state: InstanceState, tags: &[(&str, &str)]) -> Instance {
    let tags = tags
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    Instance {
        id: id.parse().unwrap(),
        region: Region::new("eu-west-3"),
        account: AccountId::new("123456789012"),
        state,
        state_word: None,
        launched_at: Some("2026-11-02T15:00:00Z".parse().unwrap()),
        instance_type: "t3.micro".into(),
        availability_zone: None,
        tags: tags.collect(),
        purchase: Purchase::OnDemand,
        capacity: CapacitySource::default(),
        operator: None,
        root_device: RootDevice::Ebs,
        hibernation: Hibernation::NotConfigured,
        state_reason: None,
        transition_reason: None,
    }
}
