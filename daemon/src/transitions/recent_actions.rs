//! The actions of this process: they explain a transition even if the tag could not be written.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use curfew_aws::execute::{Outcome, StepResult};
use curfew_core::instance::InstanceId;
use curfew_core::state_tags::Cause;
use curfew_core::step::StepAction;
use curfew_core::timetable::Action;
use curfew_core::transition::{Transition, direction};
use jiff::{SignedDuration, Timestamp};

/// A pass over a large fleet takes minutes, in any of which its calls may have been made.
const PASS: SignedDuration = SignedDuration::from_mins(10);
/// A transition begins within seconds of its call, and may take minutes to end.
const CHANGE: SignedDuration = SignedDuration::from_mins(5);

/// Shared by the tasks that act and those that observe.
#[derive(Clone, Debug, Default)]
pub(crate) struct RecentActions(Arc<Mutex<HashMap<(InstanceId, Action), RecentAction>>>);

#[derive(Clone, Debug)]
struct RecentAction {
    cause: Cause,
    edge: Option<Timestamp>,
    at: Timestamp,
}

impl RecentActions {
    /// Records the actions of a pass that ended at `now`.
    pub(crate) fn record(&self, outcomes: &[Outcome], now: Timestamp) {
        let mut recent_actions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        recent_actions.retain(|_, act| now.duration_since(act.at) <= PASS + CHANGE);
        for Outcome { step, result, .. } in outcomes {
            let action = match step.action {
                StepAction::Start => Action::Start,
                StepAction::Stop | StepAction::Hibernate => Action::Stop,
                StepAction::Record => continue,
            };
            let done = matches!(
                result,
                StepResult::Done { .. } | StepResult::TagsNotWritten { .. }
            );
            if done {
                let act = RecentAction {
                    cause: step.cause.clone(),
                    edge: step.edge.map(|edge| edge.at),
                    at: now,
                };
                recent_actions.insert((step.instance.clone(), action), act);
            }
        }
    }

    /// Sets the transition's cause if an action of this process explains it.
    pub(crate) fn attribute(&self, transition: Transition) -> Transition {
        let Some(direction) = direction(transition.to) else {
            return transition;
        };
        let recent_actions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let act = recent_actions.get(&(transition.instance.clone(), direction));
        let fits = |act: &&RecentAction| {
            let later = transition.at.duration_since(act.at);
            -PASS <= later && later <= CHANGE
        };
        match act.filter(fits) {
            Some(act) if transition.cause == Cause::External => Transition {
                cause: act.cause.clone(),
                edge: act.edge,
                actor: None,
                ..transition
            },
            _ => transition,
        }
    }
}
