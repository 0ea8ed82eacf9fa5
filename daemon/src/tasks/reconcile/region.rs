//! The state of one account-region in the reconcile task: when its next pass is due, its failures, and which notifications
//! were sent.

use std::collections::BTreeMap;
use std::time::Duration;

use curfew_aws::pass::Pass;
use curfew_core::instance::InstanceState;
use curfew_core::schedule_set::ScheduleSet;
use jiff::Timestamp;
use tokio::time::Instant;

use super::edge_audit::{EdgeAudit, next_check};
use super::problem_tracker::ProblemTracker;
use crate::backoff::Backoff;

#[derive(Debug)]
pub(crate) struct RegionState {
    pub(crate) backoff: Backoff,
    /// Whether a notification was sent that it does not respond.
    pub(crate) notified: bool,
    /// The problems that were reported.
    pub(crate) problems: ProblemTracker,
    /// The audit of the cloud's passes, where the cloud runs them.
    pub(crate) audit: EdgeAudit,
    /// When the job in progress began.
    pub(crate) under_way: Option<Instant>,
    /// When the next pass or audit is due at the latest.
    pub(crate) due: Instant,
    /// Whether the next pass is due as soon as the one in progress has ended, which may have missed what happened since it
    /// began.
    pub(crate) rerun: bool,
    /// The next due instant of the last pass's plan.
    pub(crate) next: Option<Timestamp>,
    /// The summary of the last observation; `None` while it does not respond.
    pub(crate) summary: Option<RegionSummary>,
    /// Whether it responded last time; `None` before the first time.
    pub(crate) responds: Option<bool>,
    /// The newest edge for which the cloud was sent another trigger.
    pub(crate) retriggered: Option<Timestamp>,
}

impl RegionState {
    pub(crate) fn new() -> Self {
        Self {
            backoff: Backoff::default(),
            notified: false,
            problems: ProblemTracker::with_grace(Duration::ZERO),
            audit: EdgeAudit::default(),
            under_way: None,
            due: Instant::now(),
            rerun: false,
            next: None,
            summary: None,
            responds: None,
            retriggered: None,
        }
    }

    /// Makes a pass due now, and another one if a pass is in progress already.
    pub(crate) fn wake(&mut self) {
        self.due = Instant::now();
        self.rerun = self.under_way.is_some();
    }

    /// Returns when to observe next where the cloud runs the passes; includes a second grace period if the cloud was sent
    /// another trigger.
    pub(crate) fn next_check(
        &self,
        pass: &Pass,
        grace: Duration,
        triggered: bool,
    ) -> Option<Timestamp> {
        let drift = self.problems.next_deadline(pass.at);
        let edges = next_check(pass, grace);
        let rerun = next_check(pass, grace * 2).filter(|_| triggered);
        [drift, edges, rerun].into_iter().flatten().min()
    }
}

/// A summary of one account-region, or of several.
#[derive(Debug, Default)]
pub(crate) struct RegionSummary {
    /// The number of instances in each state.
    pub(crate) states: BTreeMap<InstanceState, usize>,
    /// The number of instances that a schedule manages.
    pub(crate) managed: usize,
    /// When something is due next.
    pub(crate) next_edge: Option<Timestamp>,
}

impl RegionSummary {
    pub(crate) fn of(pass: &Pass, schedule_set: &ScheduleSet) -> Self {
        let mut states = BTreeMap::new();
        for instance in &pass.instances {
            *states.entry(instance.state).or_default() += 1;
        }
        let instances = pass.instances.iter();
        let managed = instances.filter(|instance| schedule_set.schedule_for(instance).is_ok());
        Self {
            states,
            managed: managed.count(),
            next_edge: pass.plan.next.map(|next| next.at),
        }
    }

    pub(crate) fn sum<'a>(summaries: impl Iterator<Item = &'a Self>) -> Self {
        let mut sum = Self::default();
        for summary in summaries {
            for (state, count) in &summary.states {
                *sum.states.entry(*state).or_default() += count;
            }
            sum.managed += summary.managed;
            sum.next_edge = [sum.next_edge, summary.next_edge]
                .into_iter()
                .flatten()
                .min();
        }
        sum
    }
}
