//! What passes and polling do for each other: both look at everything, and one of them at a time is enough.

use std::collections::BTreeMap;
use std::sync::Arc;

use curfew_core::account_regions::AccountRegion;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::Instant;

use crate::transitions::{InstanceObservation, RegionObservation};

/// When the newest look at each account-region was begun that has been shown.
pub(crate) type NewestObservations = BTreeMap<AccountRegion, Instant>;

/// Where a pass shows what it has seen, and polling learns that it need not look. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct ObservationBus {
    seen: mpsc::Sender<InstanceObservation>,
    newest: watch::Sender<NewestObservations>,
    nudge: Arc<Notify>,
}

impl ObservationBus {
    /// What is shown goes to `seen`.
    pub(crate) fn new(seen: mpsc::Sender<InstanceObservation>) -> Self {
        Self {
            seen,
            newest: watch::Sender::new(NewestObservations::new()),
            nudge: Arc::default(),
        }
    }

    /// Shows a look that was begun at `begun`, unless it is outdated or would have to wait: then polling looks.
    pub(crate) fn publish(&self, begun: Instant, look: RegionObservation) {
        if let Ok(place) = self.seen.try_reserve()
            && self.has_news(&look.account_region, begun)
        {
            place.send(InstanceObservation::Fleet(vec![look]));
        }
    }

    /// Whether no look at this account-region has been shown that was begun later; from now on, this one has been.
    pub(crate) fn has_news(&self, account_region: &AccountRegion, begun: Instant) -> bool {
        self.newest.send_if_modified(|newest| {
            let news = newest
                .get(account_region)
                .is_none_or(|newest| *newest < begun);
            if news {
                newest.insert(account_region.clone(), begun);
            }
            news
        })
    }

    /// When the newest look at each was begun that has been shown.
    pub(crate) fn newest(&self) -> watch::Receiver<NewestObservations> {
        self.newest.subscribe()
    }

    /// Something has just been changed: polling looks at once.
    pub(crate) fn poll_now(&self) {
        self.nudge.notify_one();
    }

    /// Waits for that.
    pub(crate) async fn poll_requested(&self) {
        self.nudge.notified().await;
    }
}
