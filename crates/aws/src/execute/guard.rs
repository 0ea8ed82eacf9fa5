//! The instants until which a pass may make calls and write tags: its caller's deadline, and its plan's next edge. From that
//! edge on the plan is outdated; the next pass decides again, and records what this one could not.

use std::time::Duration;

use curfew_core::plan::Plan;
use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::Deadline;
use crate::clock::Clock;
use crate::fleet::SendBy;

/// The largest age of an observation when a call based on it is sent. With the call's latency and a margin, it is less than
/// the 15 s for which a new state does not count as settled. A longer limit misses more changes made by people meanwhile; a
/// shorter one observes twice when EC2 responds slowly.
const FRESH: Duration = Duration::from_secs(5);

/// Calls wait for EC2's rate limit until this long before the plan's next edge: an observation, a call or its tags take up to
/// a second. A longer time leaves more to the next pass; with a shorter one, executed steps can't be recorded.
const LEAD: Duration = Duration::from_secs(1);

/// An instant by both clocks. The monotonic clock stops while the machine sleeps; the wall clock can be set.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    instant: Instant,
    wall: Timestamp,
}

impl Moment {
    /// The earlier instant of each clock.
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
        let edge = plan.valid_until.map(|edge| {
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

    /// Converts an instant of the monotonic clock.
    pub(super) fn moment(&self, begun: Instant) -> Moment {
        let ago = SignedDuration::try_from(begun.elapsed()).unwrap_or(SignedDuration::MAX);
        let wall = self.clock.now().checked_sub(ago);
        Moment {
            instant: begun,
            wall: wall.unwrap_or(Timestamp::MIN),
        }
    }

    /// Whether a call that changes an instance may be begun.
    pub(super) fn may_begin(&self) -> bool {
        !self.deadline.has_passed() && !self.edge_has_come()
    }

    /// Whether tags may be written.
    pub(super) fn may_write(&self) -> bool {
        let over = self.deadline.end().is_some_and(|end| Instant::now() >= end);
        !over && !self.edge_has_come()
    }

    fn edge_has_come(&self) -> bool {
        self.edge
            .is_some_and(|edge| Instant::now() >= edge.instant || self.clock.now() >= edge.wall)
    }

    /// Until when a call that changes an instance may wait for EC2's rate limit.
    pub(super) fn begin(&self) -> Option<Instant> {
        let edge = self.edge.map(|edge| {
            let begin = edge.instant.checked_sub(LEAD).unwrap_or(edge.instant);
            // A call that needn't wait may be begun until the edge.
            begin.max(Instant::now()).min(edge.instant)
        });
        self.deadline.begin().into_iter().chain(edge).min()
    }

    /// Until when the tags of an executed step may wait for EC2's rate limit.
    pub(super) fn write(&self) -> Option<Instant> {
        self.and_edge(self.deadline.end())
    }

    /// Until when a response is awaited. A call sent before the edge is awaited after it, too: otherwise its result would be
    /// unknown.
    pub(super) fn response(&self) -> Option<Instant> {
        self.deadline.response()
    }

    /// Until when the response to a tag write is awaited.
    pub(super) fn end(&self) -> Option<Instant> {
        self.deadline.end()
    }

    /// Whether members observed at `seen` must be observed again before a call.
    pub(super) fn is_stale(&self, observed_at: Moment) -> bool {
        let by_wall = self.clock.now().duration_since(observed_at.wall);
        observed_at.instant.elapsed() >= FRESH
            || Duration::try_from(by_wall).is_ok_and(|age| age >= FRESH)
    }

    /// The latest instant to send a call that changes members observed at `seen`.
    pub(super) fn send_by(&self, observed_at: Option<Moment>) -> Option<SendBy> {
        let fresh = observed_at.map(|observed_at| observed_at.instant + FRESH);
        self.and_edge(fresh).map(SendBy::new)
    }

    fn and_edge(&self, limit: Option<Instant>) -> Option<Instant> {
        let edge = self.edge.map(|edge| edge.instant);
        limit.into_iter().chain(edge).min()
    }
}
