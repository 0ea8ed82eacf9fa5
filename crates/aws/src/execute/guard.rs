//! Until when a pass may call and write: its caller's deadline, and its plan's next edge. From that edge on the plan is not
//! what the schedules and people want any more; the next pass decides afresh, and settles what this one did and did not
//! write down.

use std::time::Duration;

use curfew_core::plan::Plan;
use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::Deadline;
use crate::clock::Clock;
use crate::fleet::SendBy;

/// A call that changes something is sent within this long of the start of its members' observation. With a call's latency and
/// a margin, that is less than the 15 s within which a state is not taken for settled. Longer, and more of what people do
/// meanwhile is missed; shorter, and a slow answer of EC2 costs a second look.
const FRESH: Duration = Duration::from_secs(5);

/// Nothing is held up by EC2's pace until less than this before the plan's next edge: so long takes a look, a call or the tags
/// after it. Longer leaves more to the next pass; shorter, and what is done can't be written down any more.
const LEAD: Duration = Duration::from_secs(1);

/// An instant by both clocks. The one that measures time awake stands still while the machine sleeps, the other can be set.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    instant: Instant,
    wall: Timestamp,
}

impl Moment {
    /// The earlier by each clock.
    pub(super) fn earlier(self, other: Self) -> Self {
        Self {
            instant: self.instant.min(other.instant),
            wall: self.wall.min(other.wall),
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Guard {
    deadline: Deadline,
    edge: Option<Moment>,
    clock: Clock,
}

impl Guard {
    pub(super) fn new(deadline: Deadline, plan: &Plan, clock: &Clock) -> Self {
        let edge = plan.outdated_at.map(|edge| {
            let left = Duration::try_from(edge.duration_since(clock.now())).unwrap_or_default();
            Moment {
                instant: Instant::now() + left,
                wall: edge,
            }
        });
        Self {
            deadline,
            edge,
            clock: clock.clone(),
        }
    }

    /// By both clocks, when something began that began at this instant.
    pub(super) fn moment(&self, begun: Instant) -> Moment {
        let ago = SignedDuration::try_from(begun.elapsed()).unwrap_or(SignedDuration::MAX);
        let wall = self.clock.now().checked_sub(ago);
        Moment {
            instant: begun,
            wall: wall.unwrap_or(Timestamp::MIN),
        }
    }

    /// Whether a call may be begun that changes an instance.
    pub(super) fn may_begin(&self) -> bool {
        !self.deadline.has_passed() && !self.edge_has_come()
    }

    /// Whether anything may still be written.
    pub(super) fn may_write(&self) -> bool {
        let over = self.deadline.end().is_some_and(|end| Instant::now() >= end);
        !over && !self.edge_has_come()
    }

    fn edge_has_come(&self) -> bool {
        self.edge
            .is_some_and(|edge| Instant::now() >= edge.instant || self.clock.now() >= edge.wall)
    }

    /// Until when EC2's pace may hold up a call that changes an instance.
    pub(super) fn begin(&self) -> Option<Instant> {
        let edge = self.edge.map(|edge| {
            let begin = edge.instant.checked_sub(LEAD).unwrap_or(edge.instant);
            // What nothing holds up may still be begun.
            begin.max(Instant::now()).min(edge.instant)
        });
        self.deadline.begin().into_iter().chain(edge).min()
    }

    /// Until when a tag may be written about what was done.
    pub(super) fn write(&self) -> Option<Instant> {
        self.and_edge(self.deadline.end())
    }

    /// Until when an answer is awaited. What was sent before the edge is waited for after it: only what was asked is known.
    pub(super) fn answer(&self) -> Option<Instant> {
        self.deadline.answer()
    }

    /// Until when the tags that follow a call are awaited.
    pub(super) fn end(&self) -> Option<Instant> {
        self.deadline.end()
    }

    /// Whether members that were seen then have to be seen again before a call.
    pub(super) fn is_stale(&self, seen: Moment) -> bool {
        let by_wall = self.clock.now().duration_since(seen.wall);
        seen.instant.elapsed() >= FRESH || Duration::try_from(by_wall).is_ok_and(|age| age >= FRESH)
    }

    /// The limit of an attempt that changes members that were seen then.
    pub(super) fn send_by(&self, seen: Option<Moment>) -> Option<SendBy> {
        let fresh = seen.map(|seen| seen.instant + FRESH);
        self.and_edge(fresh).map(SendBy::new)
    }

    fn and_edge(&self, limit: Option<Instant>) -> Option<Instant> {
        let edge = self.edge.map(|edge| edge.instant);
        limit.into_iter().chain(edge).min()
    }
}
