//! The instances of several account-regions as one list.

use std::ops::Range;

use curfew_core::instance::Instance;
use curfew_core::schedule_set::ScheduleSet;
use curfew_core::step::Step;

use super::{AccountRegionError, AccountRegionFleet, Organisation, RegionResults};
use crate::clock::Clock;
use crate::execute::{Deadline, Outcome};
use crate::join_bounded::join_bounded;
use crate::request_execution;

/// The instances of all account-regions that responded.
#[derive(Debug, Default)]
pub struct ObservedFleet {
    /// The instances, grouped by account-region, and sorted by id within each.
    pub instances: Vec<Instance>,
    account_regions: Vec<(AccountRegionFleet, Range<usize>)>,
}

impl RegionResults<Vec<Instance>> {
    /// Joins the results to one fleet; the failures are returned separately.
    pub fn into_fleet(self) -> (ObservedFleet, Vec<AccountRegionError>) {
        let mut fleet = ObservedFleet::default();
        for (one, found) in self.answers {
            let from = fleet.instances.len();
            fleet.instances.extend(found);
            fleet
                .account_regions
                .push((one, from..fleet.instances.len()));
        }
        (fleet, self.failures)
    }
}

impl ObservedFleet {
    /// The account-regions that responded, each with its instances.
    pub fn account_regions(&self) -> impl Iterator<Item = (&AccountRegionFleet, &[Instance])> {
        let account_regions = self.account_regions.iter();
        account_regions.map(|(one, range)| (one, &self.instances[range.clone()]))
    }

    /// Executes the steps of a request, each in its instance's account-region, concurrently.
    pub(crate) async fn carry_out(
        &self,
        schedule_set: &ScheduleSet,
        steps: Vec<Step>,
        clock: &Clock,
        deadline: Deadline,
    ) -> Vec<Outcome> {
        let mut left = steps;
        let mut work = Vec::new();
        for (one, instances) in self.account_regions() {
            let is_here = |step: &Step| {
                let found = instances.binary_search_by(|one| one.id.cmp(&step.instance));
                found.is_ok()
            };
            let (here, others): (Vec<Step>, _) = left.into_iter().partition(is_here);
            left = others;
            if !here.is_empty() {
                let fleet = one.fleet();
                work.push(request_execution::carry_out(
                    fleet,
                    schedule_set,
                    instances,
                    here,
                    clock,
                    deadline,
                ));
            }
        }
        let outcomes = join_bounded(work, Organisation::MAX_IN_FLIGHT).await;
        outcomes.into_iter().flatten().collect()
    }
}
