//! Shares observations between passes and polling: both describe the complete fleet, so one of them at a time is enough.

use std::collections::BTreeMap;
use std::sync::Arc;

use curfew_core::account_regions::AccountRegion;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::Instant;

use crate::transitions::{InstanceObservation, RegionObservation};

/// When the newest published observation of each account-region began.
pub(crate) type NewestObservations = BTreeMap<AccountRegion, Instant>;

/// Publishes the observations of passes to the watch task, and delays polling accordingly. Clones share the same state.
#[derive(Clone, Debug)]
pub(crate) struct ObservationBus {
    observations: mpsc::Sender<InstanceObservation>,
    newest: watch::Sender<NewestObservations>,
    poll_request: Arc<Notify>,
}

impl ObservationBus {
    /// Creates a bus that forwards observations to `observations`.
    pub(crate) fn new(observations: mpsc::Sender<InstanceObservation>) -> Self {
        Self {
            observations,
            newest: watch::Sender::new(NewestObservations::new()),
            poll_request: Arc::default(),
        }
    }

    /// Publishes an observation that began at `begun`, unless it is outdated or the channel is full; then the next poll makes
    /// up for it.
    pub(crate) fn publish(&self, begun: Instant, observation: RegionObservation) {
        if let Ok(place) = self.observations.try_reserve()
            && self.mark_newest(&observation.account_region, begun)
        {
            place.send(InstanceObservation::Fleet(vec![observation]));
        }
    }

    /// Whether no observation of this account-region that began later was published. Records `begun` as the newest if so.
    pub(crate) fn mark_newest(&self, account_region: &AccountRegion, begun: Instant) -> bool {
        self.newest.send_if_modified(|newest| {
            let is_newest = newest
                .get(account_region)
                .is_none_or(|newest| *newest < begun);
            if is_newest {
                newest.insert(account_region.clone(), begun);
            }
            is_newest
        })
    }

    /// Returns a receiver of the start of the newest published observation of each account-region.
    pub(crate) fn newest(&self) -> watch::Receiver<NewestObservations> {
        self.newest.subscribe()
    }

    /// Requests an immediate poll, because something was just changed.
    pub(crate) fn poll_now(&self) {
        self.poll_request.notify_one();
    }

    /// Waits for the next call of [`Self::poll_now`].
    pub(crate) async fn poll_requested(&self) {
        self.poll_request.notified().await;
    }
}
