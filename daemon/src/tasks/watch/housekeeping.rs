//! How often the watch task notes its looks, and removes what is old.

use std::collections::HashMap;

use curfew_core::instance::{AccountId, Region};
use jiff::{SignedDuration, Timestamp};

use curfew_journal::CoverageObservation;

/// What is done now and then, beside the stream.
#[derive(Debug, Default)]
pub(crate) struct Housekeeping {
    /// When the journal last noted a look at each place.
    noted: HashMap<(AccountId, Region), Timestamp>,
    pruned: Option<Timestamp>,
}

impl Housekeeping {
    /// A look is noted once a minute: after a kill -9, so much of the watching is not known to have been.
    const NOTED: SignedDuration = SignedDuration::from_mins(1);
    /// Old transitions are removed once a day.
    const PRUNED: SignedDuration = SignedDuration::from_hours(24);

    /// Those of these looks that are to be noted.
    pub(crate) fn due(&mut self, watches: Vec<CoverageObservation>) -> Vec<CoverageObservation> {
        let mut due = Vec::new();
        for watch in watches {
            let place = (watch.account.clone(), watch.region.clone());
            let noted = self.noted.get(&place);
            // A clock that was set back is no reason to wait for it.
            if noted.is_none_or(|noted| watch.at.duration_since(*noted).abs() >= Self::NOTED) {
                self.noted.insert(place, watch.at);
                due.push(watch);
            }
        }
        due
    }

    /// Whether old transitions are to be removed at `now`, which is then noted as the last time.
    pub(crate) fn is_time_to_prune(&mut self, now: Timestamp) -> bool {
        let due = self
            .pruned
            .is_none_or(|pruned| now.duration_since(pruned) >= Self::PRUNED);
        if due {
            self.pruned = Some(now);
        }
        due
    }
}
