//! Attribution: a transition is recorded once its cause is known, or once it won't become known.

use curfew_core::instance::{Instance, InstanceId, InstanceState};
use curfew_core::state_tags::Cause;
use curfew_core::transition::{Transition, TransitionSource, direction, with_current_cause};
use curfew_journal::TransitionRecord;
use jiff::{SignedDuration, Timestamp};

use super::tracked_instance::{ChangeSource, TrackedInstance, UnattributedTransition};
use super::{CloudTrailCall, TransitionTracker};

/// Curfew's tag is written after the call that it explains, so an instance with an unattributed transition is polled again
/// after this long.
const ATTRIBUTED_WITHIN: SignedDuration = SignedDuration::from_secs(3);
/// Transitions of an instance that can't be observed for this long are written without a cause.
const OBSERVED_WITHIN: SignedDuration = SignedDuration::from_mins(1);

impl TransitionTracker {
    pub(crate) fn commit(
        &mut self,
        found: Transition,
        event: Option<String>,
        source: ChangeSource<'_>,
        now: Timestamp,
    ) -> Vec<TransitionRecord> {
        let found = self.attribute(found);
        let id = found.instance.clone();
        let Some(tracked) = self.instances.get_mut(&id) else {
            return Vec::new();
        };
        let before = tracked.known_state.clone();
        tracked.advance(&found, source);
        let explained = is_explained(&found);
        let ended = found.to == InstanceState::Terminated;
        tracked.unattributed.push(UnattributedTransition {
            before,
            transition: found,
            event,
            found: now,
        });
        if ended || (explained && tracked.unattributed.len() == 1) {
            self.flush(&id)
        } else {
            Vec::new()
        }
    }

    /// Attributes unattributed transitions with an observation of the instance.
    pub(crate) fn attribute_with(
        &mut self,
        instance: &Instance,
        now: Timestamp,
    ) -> Vec<TransitionRecord> {
        let Some(tracked) = self.instances.get_mut(&instance.id) else {
            return Vec::new();
        };
        if tracked.unattributed.is_empty() {
            return Vec::new();
        }
        let mut unattributed = std::mem::take(&mut tracked.unattributed);
        let mut previous: Option<Cause> = None;
        for change in &mut unattributed {
            if previous.is_some() {
                change.before.cause = previous;
            }
            if change.transition.source != TransitionSource::Inferred {
                let transition = change.transition.clone();
                let transition =
                    with_current_cause(transition, &change.before, instance, &self.schedule_set);
                change.transition = self.attribute(transition);
            }
            previous = Some(change.transition.cause.clone());
        }
        let waited =
            |change: &UnattributedTransition| now.duration_since(change.found) >= ATTRIBUTED_WITHIN;
        let enough = unattributed
            .iter()
            .all(|change| is_explained(&change.transition) || waited(change));
        if let Some(tracked) = self.instances.get_mut(&instance.id) {
            tracked.known_state.cause = previous.or(tracked.known_state.cause.take());
            tracked.unattributed = unattributed;
        }
        if enough {
            self.flush(&instance.id)
        } else {
            Vec::new()
        }
    }

    /// Returns the transitions of an instance as they are.
    pub(crate) fn flush(&mut self, id: &InstanceId) -> Vec<TransitionRecord> {
        let Some(tracked) = self.instances.get_mut(id) else {
            return Vec::new();
        };
        let ended = tracked.known_state.state == InstanceState::Terminated;
        let known_state = (!ended).then(|| tracked.known_state.clone());
        let changes = tracked.unattributed.drain(..);
        let records = changes.map(|change| TransitionRecord {
            instance: id.clone(),
            transition: Some(change.transition),
            event: change.event,
            known_state: known_state.clone(),
        });
        let records = records.collect();
        if ended {
            let buffered = self
                .release(id)
                .into_iter()
                .map(|buffered| buffered.event.id);
            self.finished.extend(buffered);
            self.instances.remove(id);
        }
        records
    }

    /// Returns the transitions of instances that could not be observed for too long.
    pub(crate) fn flush_overdue(&mut self, now: Timestamp) -> Vec<TransitionRecord> {
        let overdue = |tracked: &TrackedInstance| {
            let first = tracked.unattributed.first();
            first.is_some_and(|change| now.duration_since(change.found) >= OBSERVED_WITHIN)
        };
        let ids = self
            .instances
            .iter()
            .filter(|(_, tracked)| overdue(tracked));
        let ids: Vec<InstanceId> = ids.map(|(id, _)| id.clone()).collect();
        ids.iter().flat_map(|id| self.flush(id)).collect()
    }

    /// Attributes a transition to this process's own actions, or else to the principal that CloudTrail names.
    fn attribute(&self, found: Transition) -> Transition {
        let found = self.recent_actions.attribute(found);
        let fits = |call: &&CloudTrailCall| {
            let later = found.at.duration_since(call.at);
            let soon =
                -SignedDuration::from_secs(1) <= later && later <= SignedDuration::from_mins(1);
            soon && call.to.contains(&found.to) && call.instances.contains(&found.instance)
        };
        match self.calls.iter().find(fits) {
            Some(call) if found.cause == Cause::External => Transition {
                actor: Some(call.by.clone()),
                ..found
            },
            _ => found,
        }
    }
}

fn is_explained(transition: &Transition) -> bool {
    transition.cause != Cause::External
        || transition.source == TransitionSource::Inferred
        || direction(transition.to).is_none()
}
