//! When the watch task journals its coverage and removes old transitions.

use std::collections::HashMap;

use curfew_core::instance::{AccountId, Region};
use jiff::{SignedDuration, Timestamp};

use curfew_journal::CoverageObservation;

#[derive(Debug, Default)]
pub(crate) struct Housekeeping {
    /// When the journal last recorded coverage of each account and region.
    noted: HashMap<(AccountId, Region), Timestamp>,
    pruned: Option<Timestamp>,
}

impl Housekeeping {
    /// Coverage is journalled once a minute: at most this much of it is lost with a `kill -9`.
    const NOTED: SignedDuration = SignedDuration::from_mins(1);
    /// Old transitions are removed once a day.
    const PRUNED: SignedDuration = SignedDuration::from_hours(24);

    /// Returns the observations that are due to be journalled.
    pub(crate) fn due(&mut self, watches: Vec<CoverageObservation>) -> Vec<CoverageObservation> {
        let mut due = Vec::new();
        for watch in watches {
            let place = (watch.account.clone(), watch.region.clone());
            let noted = self.noted.get(&place);
            // A clock that was set back must not delay it.
            if noted.is_none_or(|noted| watch.at.duration_since(*noted).abs() >= Self::NOTED) {
                self.noted.insert(place, watch.at);
                due.push(watch);
            }
        }
        due
    }

    /// Whether old transitions are due to be removed at `now`, which is recorded as the last time.
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
