//! Tracks the state of every instance, and merges polls and events into one stream of transitions, each once, in order for
//! each instance.
//!
//! Events report what happened, and when; a poll reports the state, and its cause (the tags). Either may come first, late or
//! never. So an event that does not follow on the known state waits for the one before it, and a poll that finds a change
//! waits for its events if there is an event stream. A transition that neither reported, and that must have happened, is
//! inferred and marked as such.

mod causes;
mod event_order;
mod event_stream_health;
mod observation;
mod polls;
mod recent_actions;
mod state_change;
mod tracked_instance;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use curfew_core::instance::{AccountId, Instance, InstanceId, InstanceState, Region};
use curfew_core::schedule_set::ScheduleSet;
use curfew_core::transition::KnownState;
use jiff::{SignedDuration, Timestamp};

use self::event_stream_health::EventStream;
use self::tracked_instance::TrackedInstance;
use crate::active_configuration::{ActiveConfiguration, schedule_of};
use curfew_journal::{Attribution, CoverageObservation, TransitionRecord};

pub(crate) use self::event_stream_health::VISIBILITY_TIMEOUT;
pub(crate) use self::observation::{EventBatch, InstanceObservation, RegionObservation};
pub(crate) use self::recent_actions::RecentActions;
pub(crate) use self::state_change::{CloudTrailCall, QueuedStateChange, StateChangeMessage};

/// The longest time without polls that is no gap in the coverage: in more than an hour, too much may go unobserved.
const MAX_GAP: SignedDuration = SignedDuration::from_mins(10);
/// Events wait in the queue for four days, so a shorter absence is no gap if they are read afterwards (`crates/deploy/src/stack.yaml`).
const MAX_GAP_WITH_EVENTS: SignedDuration = SignedDuration::from_hours(4 * 24);

/// The tracked state of every instance.
#[derive(Debug)]
pub(crate) struct TransitionTracker {
    instances: HashMap<InstanceId, TrackedInstance>,
    schedule_set: Arc<ScheduleSet>,
    /// The other configured accounts: instances of any further account belong to the account of the credentials.
    others: HashSet<AccountId>,
    /// The account of the credentials, once one of its instances was observed.
    own: Option<AccountId>,
    event_stream: EventStream,
    /// The region that events come from.
    home: Option<Region>,
    recent_actions: RecentActions,
    calls: VecDeque<CloudTrailCall>,
    attributions: Vec<Attribution>,
    finished: Vec<String>,
}

impl TransitionTracker {
    /// Continues from the journal's last states: transitions in between are found by the first poll, or reported by the
    /// events that have waited.
    pub(crate) fn new(
        known_states: HashMap<InstanceId, KnownState>,
        configuration: &ActiveConfiguration,
    ) -> Self {
        let mut tracker = Self::of(known_states, Arc::clone(&configuration.schedule_set));
        tracker.set_configuration(configuration);
        tracker
    }

    fn of(known_states: HashMap<InstanceId, KnownState>, schedule_set: Arc<ScheduleSet>) -> Self {
        let instances = known_states
            .into_iter()
            .map(|(id, known_state)| (id, TrackedInstance::new(known_state)));
        Self {
            instances: instances.collect(),
            schedule_set,
            others: HashSet::new(),
            own: None,
            event_stream: EventStream::Absent,
            home: None,
            recent_actions: RecentActions::default(),
            calls: VecDeque::new(),
            attributions: Vec::new(),
            finished: Vec::new(),
        }
    }

    /// Applies a new configuration.
    pub(crate) fn set_configuration(&mut self, configuration: &ActiveConfiguration) {
        self.schedule_set = Arc::clone(&configuration.schedule_set);
        let account_regions = configuration.organisation.account_regions().iter();
        self.others = account_regions
            .filter_map(|region_fleet| region_fleet.account_region.account.clone())
            .collect();
    }

    /// Adds a queue that is read for the events of `region` from `now` on. `delivered` is whether it has delivered any
    /// before.
    #[must_use]
    pub(crate) fn with_events(self, region: Region, delivered: bool, now: Timestamp) -> Self {
        Self {
            event_stream: EventStream::of_queue(delivered, now),
            home: Some(region),
            ..self
        }
    }

    /// Adds the actions of this process.
    #[must_use]
    pub(crate) fn with_actions(self, recent_actions: RecentActions) -> Self {
        Self {
            recent_actions,
            ..self
        }
    }

    /// Returns the transitions that an observation at `now` adds to the journal.
    pub(crate) fn apply(
        &mut self,
        observation: InstanceObservation,
        now: Timestamp,
    ) -> Vec<TransitionRecord> {
        let mut records = match observation {
            InstanceObservation::Fleet(regions) => {
                let mut records = Vec::new();
                for region in &regions {
                    if region.account_region.account.is_none() {
                        let owner = region
                            .instances
                            .first()
                            .map(|instance| instance.account.clone());
                        self.own = owner.or(self.own.take());
                    }
                    for instance in &region.instances {
                        records.extend(self.apply_instance(instance, region.begun, now));
                    }
                }
                records.extend(self.detect_missing(&regions, now));
                records
            }
            InstanceObservation::Events(batch) => self.apply_events(batch, now),
        };
        records.extend(self.flush_overdue(now));
        records
    }

    /// Takes the events since the last call that need no record.
    pub(crate) fn take_finished(&mut self) -> Vec<String> {
        std::mem::take(&mut self.finished)
    }

    /// Takes the principals since the last call that CloudTrail has named.
    pub(crate) fn take_attributions(&mut self) -> Vec<Attribution> {
        std::mem::take(&mut self.attributions)
    }

    /// Whether frequent polls are useful: an instance is in transition, or a transition waits for its cause.
    pub(crate) fn is_busy(&self) -> bool {
        self.instances.values().any(TrackedInstance::is_busy)
    }

    /// Whether events report every change, so that polls only verify them.
    pub(crate) fn has_event_stream(&self, now: Timestamp) -> bool {
        self.event_stream.reports_changes(now)
    }

    /// Returns the coverage that complete observations add to the journal; empty while events that have waited are still
    /// being read.
    pub(crate) fn coverage(
        &self,
        observations: &[RegionObservation],
        now: Timestamp,
    ) -> Vec<CoverageObservation> {
        let has_events = self.event_stream.reports_changes(now);
        let caught_up = self.event_stream.may_decide(Timestamp::MIN, now);
        let coverage_of = |observed: &RegionObservation| {
            let account = observed
                .account_region
                .account
                .clone()
                .or_else(|| self.own.clone())?;
            let home = observed.account_region.account.is_none()
                && self.home.as_ref() == Some(&observed.account_region.region);
            let bridges = if home && has_events {
                MAX_GAP_WITH_EVENTS
            } else {
                MAX_GAP
            };
            let region = observed.account_region.region.clone();
            (caught_up || !home).then_some(CoverageObservation {
                account,
                region,
                at: observed.begun,
                bridges,
            })
        };
        observations.iter().filter_map(coverage_of).collect()
    }

    /// Returns the known state of every instance, for a new journal.
    pub(crate) fn everything(&self) -> Vec<TransitionRecord> {
        let settled = self.instances.iter();
        let settled = settled.filter(|(_, tracked)| tracked.unattributed.is_empty());
        settled
            .map(|(id, tracked)| TransitionRecord {
                instance: id.clone(),
                transition: None,
                event: None,
                known_state: Some(tracked.known_state.clone()),
            })
            .collect()
    }

    /// Returns the transitions without a cause as they are. Those that events reported are left: the events are delivered
    /// again after a restart.
    pub(crate) fn flush_all(&mut self) -> Vec<TransitionRecord> {
        let found_by_polls = |tracked: &TrackedInstance| {
            let mut changes = tracked.unattributed.iter();
            changes.all(|change| change.event.is_none())
        };
        let ids = self
            .instances
            .iter()
            .filter(|(_, tracked)| found_by_polls(tracked));
        let ids: Vec<InstanceId> = ids.map(|(id, _)| id.clone()).collect();
        ids.iter().flat_map(|id| self.flush(id)).collect()
    }

    fn first(
        &mut self,
        instance: &Instance,
        state: InstanceState,
        since: Timestamp,
    ) -> TransitionRecord {
        let known_state = KnownState {
            state,
            since: Some(since),
            schedule: schedule_of(&self.schedule_set, instance),
            ..KnownState::of(instance, None)
        };
        let tracked = TrackedInstance::new(known_state.clone());
        self.instances.insert(instance.id.clone(), tracked);
        TransitionRecord {
            instance: instance.id.clone(),
            transition: None,
            event: None,
            known_state: Some(known_state),
        }
    }

    /// Returns the event stream that covers this instance.
    fn event_stream_for(&self, id: &InstanceId) -> EventStream {
        let home = self.instances.get(id).is_some_and(|tracked| {
            self.home.as_ref() == Some(&tracked.known_state.region)
                && !self.others.contains(&tracked.known_state.account)
        });
        if home {
            self.event_stream
        } else {
            EventStream::Absent
        }
    }
}

#[cfg(test)]
mod tests;
