//! When the watch task journals its coverage and removes old transitions.

use std::collections::HashMap;

use curfew_core::instance::{AccountId, Region};
use jiff::{SignedDuration, Timestamp};

use curfew_journal::CoverageObservation;

#[derive(Debug, Default)]
pub(crate) struct Housekeeping {
    /// When the journal last recorded coverage of each account and region.
    recorded: HashMap<(AccountId, Region), Timestamp>,
    pruned: Option<Timestamp>,
}

impl Housekeeping {
    /// Coverage is journalled once a minute: at most this much of it is lost with a `kill -9`.
    const COVERAGE_INTERVAL: SignedDuration = SignedDuration::from_mins(1);
    /// Old transitions are removed once a day.
    const PRUNE_INTERVAL: SignedDuration = SignedDuration::from_hours(24);

    /// Returns the observations that are due to be journalled.
    pub(crate) fn due(
        &mut self,
        observations: Vec<CoverageObservation>,
    ) -> Vec<CoverageObservation> {
        let mut due = Vec::new();
        for observation in observations {
            let place = (observation.account.clone(), observation.region.clone());
            let recorded = self.recorded.get(&place);
            // A clock that was set back must not delay it.
            if recorded.is_none_or(|recorded| {
                observation.at.duration_since(*recorded).abs() >= Self::COVERAGE_INTERVAL
            }) {
                self.recorded.insert(place, observation.at);
                due.push(observation);
            }
        }
        due
    }

    /// Whether old transitions are due to be removed at `now`, which is recorded as the last time.
    pub(crate) fn is_time_to_prune(&mut self, now: Timestamp) -> bool {
        let due = self
            .pruned
            .is_none_or(|pruned| now.duration_since(pruned) >= Self::PRUNE_INTERVAL);
        if due {
            self.pruned = Some(now);
        }
        due
    }
}
