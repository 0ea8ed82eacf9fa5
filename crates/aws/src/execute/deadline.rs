//! The caller's time limit for a pass.

use std::time::Duration;

use tokio::time::Instant;

/// An instant after which no batch is begun, and one at which everything ends.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(Option<Limits>);

#[derive(Clone, Copy, Debug)]
struct Limits {
    begin: Instant,
    end: Instant,
}

impl Deadline {
    /// No limit. A pass ends at its plan's next edge nevertheless.
    pub const NONE: Self = Self(None);

    /// How long calls in flight may take after `begin`: a call to EC2 and the tags after it take a second each. A longer
    /// grace period wastes the time of a function that has ten seconds; with a shorter one, executed steps can't be recorded.
    const GRACE: Duration = Duration::from_millis(2_500);
    /// The part of the grace period that is reserved for the tags.
    const TAGS: Duration = Duration::from_secs(1);

    /// Begins nothing after `instant`, and waits for calls in flight for the usual grace period.
    pub fn at(instant: Instant) -> Self {
        Self(Some(Limits {
            begin: instant,
            end: instant + Self::GRACE,
        }))
    }

    /// The same deadline with another end, at which nothing is awaited any more.
    #[must_use]
    pub fn ending(self, end: Instant) -> Self {
        Self(self.0.map(|terms| Limits { end, ..terms }))
    }

    /// The deadline of an observation that precedes other work: two thirds of the remaining time, so that an account-region
    /// that never responds leaves time to act in the others.
    #[must_use]
    pub fn for_observing(self) -> Self {
        let now = Instant::now();
        match self.begin() {
            Some(begin) if begin > now => Self::at(now + (begin - now) * 2 / 3),
            _ => self,
        }
    }

    /// Whether nothing may be begun any more.
    pub fn has_passed(self) -> bool {
        self.begin().is_some_and(|begin| Instant::now() >= begin)
    }

    /// Until when a batch may be begun.
    pub(crate) fn begin(self) -> Option<Instant> {
        Some(self.0?.begin)
    }

    /// Until when its response is awaited.
    pub(super) fn response(self) -> Option<Instant> {
        let Limits { begin, end } = self.0?;
        Some(end.checked_sub(Self::TAGS).unwrap_or(end).max(begin))
    }

    /// Until when its tags may be written, and everything ends.
    pub fn end(self) -> Option<Instant> {
        Some(self.0?.end)
    }
}
