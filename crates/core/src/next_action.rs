//! What is due next for one instance or for several.

use jiff::Timestamp;
use serde::Serialize;

use crate::timetable::{Action, Edge};

/// The earliest instant at which something is due: an edge, the end of an override, or the next attempt of a failed action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct NextAction {
    /// The instant at which the action is due.
    pub at: Timestamp,
    /// What is due then; null if nothing changes, as after some overrides, or if some instances start and others stop.
    pub action: Option<Action>,
}

impl NextAction {
    /// Returns the earliest of several. At one instant, different actions have none in common.
    pub fn earliest(all: impl IntoIterator<Item = Self>) -> Option<Self> {
        all.into_iter().reduce(|one, other| {
            if one.at != other.at {
                return if one.at < other.at { one } else { other };
            }
            Self {
                at: one.at,
                action: one.action.filter(|_| one.action == other.action),
            }
        })
    }
}

impl From<Edge> for NextAction {
    fn from(Edge { at, action }: Edge) -> Self {
        Self {
            at,
            action: Some(action),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_instant_has_the_action_that_all_have_in_common() {
        let next = |minute: i64, action| NextAction {
            at: Timestamp::from_second(minute * 60).unwrap(),
            action,
        };
        let (start, stop) = (Some(Action::Start), Some(Action::Stop));
        let earliest = |all: &[NextAction]| NextAction::earliest(all.iter().copied());
        assert_eq!(earliest(&[]), None);
        let later = next(2, stop);
        assert_eq!(earliest(&[later, next(1, start)]), Some(next(1, start)));
        assert_eq!(
            earliest(&[next(1, start), next(1, start), later]),
            Some(next(1, start))
        );
        assert_eq!(
            earliest(&[next(1, start), next(1, stop)]),
            Some(next(1, None))
        );
        assert_eq!(
            earliest(&[next(1, None), next(1, stop)]),
            Some(next(1, None))
        );
    }
}
