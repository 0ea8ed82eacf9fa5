//! What the daemon observes: complete descriptions of account-regions, and batches of events.

use curfew_core::account_regions::AccountRegion;
use curfew_core::instance::Instance;
use jiff::Timestamp;

use super::state_change::{CloudTrailCall, QueuedStateChange};

/// An observation of instances.
#[derive(Clone, Debug)]
pub(crate) enum InstanceObservation {
    /// Every instance of these account-regions: a missing one is gone. An account-region that did not respond is not listed.
    Fleet(Vec<RegionObservation>),
    /// Events. Other instances are unaffected.
    Events(EventBatch),
}

/// Every instance of one account-region.
#[derive(Clone, Debug)]
pub(crate) struct RegionObservation {
    pub account_region: AccountRegion,
    /// When the request began: no state in it is older.
    pub begun: Timestamp,
    pub instances: Vec<Instance>,
}

/// Messages of the queue of state changes.
#[derive(Clone, Debug, Default)]
pub(crate) struct EventBatch {
    /// Changes of state.
    pub events: Vec<QueuedStateChange>,
    /// Calls that caused changes.
    pub calls: Vec<CloudTrailCall>,
    /// The instances of the events as EC2 described them since, as far as it responded.
    pub instances: Vec<Instance>,
    /// Whether the queue was empty.
    pub drained: bool,
}
