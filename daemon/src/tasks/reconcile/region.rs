//! What the reconcile task knows of one account-region: when it is looked at next, how it has failed, and what people were told of it.

use std::collections::BTreeMap;
use std::time::Duration;

use curfew_aws::pass::Pass;
use curfew_core::instance::InstanceState;
use curfew_core::schedule_set::ScheduleSet;
use jiff::Timestamp;
use tokio::time::Instant;

use super::edge_audit::{EdgeAudit, next_look};
use super::problem_tracker::ProblemTracker;
use crate::backoff::Backoff;

/// One account-region.
#[derive(Debug)]
pub(crate) struct RegionState {
    pub(crate) backoff: Backoff,
    /// Whether people were told that it does not answer.
    pub(crate) told: bool,
    /// The problems that people have been told of.
    pub(crate) problems: ProblemTracker,
    /// What the cloud has applied, where it makes the passes.
    pub(crate) audit: EdgeAudit,
    /// Since when a pass or check is under way.
    pub(crate) under_way: Option<Instant>,
    /// When to look again, whatever happens.
    pub(crate) due: Instant,
    /// Whether to look again as soon as what is under way has ended: it may not know yet what has happened since it began.
    pub(crate) again: bool,
    /// When something is due there, as the last pass has it.
    pub(crate) next: Option<Timestamp>,
    /// What was seen there last; nothing, while it does not answer.
    pub(crate) seen: Option<RegionSummary>,
    /// Whether it answered last time; nothing, before the first time.
    pub(crate) answers: Option<bool>,
    /// The newest edge that the cloud was asked for once more.
    pub(crate) asked: Option<Timestamp>,
}

impl RegionState {
    pub(crate) fn new() -> Self {
        Self {
            backoff: Backoff::default(),
            told: false,
            problems: ProblemTracker::lasting(Duration::ZERO),
            audit: EdgeAudit::default(),
            under_way: None,
            due: Instant::now(),
            again: false,
            next: None,
            seen: None,
            answers: None,
            asked: None,
        }
    }

    /// Something has happened: it is looked at once, and once more where that is under way already.
    pub(crate) fn wake(&mut self) {
        self.due = Instant::now();
        self.again = self.under_way.is_some();
    }

    /// When to look again, where the cloud makes the passes; with a second grace, if it gets another trigger first.
    pub(crate) fn next_look(
        &self,
        pass: &Pass,
        grace: Duration,
        triggered: bool,
    ) -> Option<Timestamp> {
        let contradictions = self.problems.next_outlasted(pass.at);
        let edges = next_look(pass, grace);
        let again = next_look(pass, grace * 2).filter(|_| triggered);
        [contradictions, edges, again].into_iter().flatten().min()
    }
}

/// What was seen in one account-region, or in several.
#[derive(Debug, Default)]
pub(crate) struct RegionSummary {
    /// How many instances are in each state.
    pub(crate) states: BTreeMap<InstanceState, usize>,
    /// How many a schedule manages.
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
        let managed = instances.filter(|one| schedule_set.schedule_for(one).is_ok());
        Self {
            states,
            managed: managed.count(),
            next_edge: pass.plan.next_edge,
        }
    }

    pub(crate) fn sum<'a>(several: impl Iterator<Item = &'a Self>) -> Self {
        let mut sum = Self::default();
        for one in several {
            for (state, count) in &one.states {
                *sum.states.entry(*state).or_default() += count;
            }
            sum.managed += one.managed;
            sum.next_edge = [sum.next_edge, one.next_edge].into_iter().flatten().min();
        }
        sum
    }
}
