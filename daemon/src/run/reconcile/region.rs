//! What the reconcile task knows of one account-region: when it is looked at next, how it has failed, and what people were told of it.

use std::collections::BTreeMap;
use std::time::Duration;

use curfew_aws::pass::Pass;
use curfew_core::instance::InstanceState;
use curfew_core::schedule_set::ScheduleSet;
use jiff::Timestamp;
use tokio::time::Instant;

use crate::backoff::Backoff;
use crate::run::audit::{Audit, next_look};
use crate::run::tidings::Standing;

/// One account-region.
#[derive(Debug)]
pub(in crate::run) struct RegionState {
    pub(super) backoff: Backoff,
    /// Whether people were told that it does not answer.
    pub(super) told: bool,
    /// The problems that people have been told of.
    pub(super) standing: Standing,
    /// What the cloud has applied, where it makes the passes.
    pub(super) audit: Audit,
    /// Since when a pass or check is under way.
    pub(super) under_way: Option<Instant>,
    /// When to look again, whatever happens.
    pub(super) due: Instant,
    /// Whether to look again as soon as what is under way has ended: it may not know yet what has happened since it began.
    pub(super) again: bool,
    /// When something is due there, as the last pass has it.
    pub(super) next: Option<Timestamp>,
    /// What was seen there last; nothing, while it does not answer.
    pub(super) seen: Option<Summary>,
    /// Whether it answered last time; nothing, before the first time.
    pub(super) answers: Option<bool>,
    /// The newest edge that the cloud was asked for once more.
    pub(super) asked: Option<Timestamp>,
}

impl RegionState {
    pub(super) fn new() -> Self {
        Self {
            backoff: Backoff::default(),
            told: false,
            standing: Standing::lasting(Duration::ZERO),
            audit: Audit::default(),
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
    pub(super) fn wake(&mut self) {
        self.due = Instant::now();
        self.again = self.under_way.is_some();
    }

    /// When to look again, where the cloud makes the passes; with a second grace, if it gets another trigger first.
    pub(super) fn next_look(
        &self,
        pass: &Pass,
        grace: Duration,
        triggered: bool,
    ) -> Option<Timestamp> {
        let contradictions = self.standing.next_outlasted(pass.at);
        let edges = next_look(pass, grace);
        let again = next_look(pass, grace * 2).filter(|_| triggered);
        [contradictions, edges, again].into_iter().flatten().min()
    }
}

/// What was seen in one account-region, or in several.
#[derive(Debug, Default)]
pub(in crate::run) struct Summary {
    /// How many instances are in each state.
    pub(super) states: BTreeMap<InstanceState, usize>,
    /// How many a schedule manages.
    pub(super) managed: usize,
    /// When something is due next.
    pub(super) next_edge: Option<Timestamp>,
}

impl Summary {
    pub(super) fn of(pass: &Pass, schedule_set: &ScheduleSet) -> Self {
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

    pub(super) fn sum<'a>(several: impl Iterator<Item = &'a Self>) -> Self {
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
