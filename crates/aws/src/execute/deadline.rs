//! How much time the caller of a pass has.

use std::time::Duration;

use tokio::time::Instant;

/// Until when new batches may be begun, and by when everything is over.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(Option<Terms>);

#[derive(Clone, Copy, Debug)]
struct Terms {
    begin: Instant,
    end: Instant,
}

impl Deadline {
    /// The caller has no limit of its own. A pass ends at its plan's next edge all the same.
    pub const NONE: Self = Self(None);

    /// What is under way when nothing more is begun takes up to this long: a call to EC2 and the tags that follow it take a
    /// second each. Longer wastes time of a function that has ten; shorter, and what was done can't be remembered.
    const GRACE: Duration = Duration::from_millis(2_500);
    /// The part of that which is kept for the tags.
    const MEMORY: Duration = Duration::from_secs(1);

    /// Begins nothing after `instant`, and waits no longer than the usual grace for what is under way.
    pub fn at(instant: Instant) -> Self {
        Self(Some(Terms {
            begin: instant,
            end: instant + Self::GRACE,
        }))
    }

    /// Everything is over by `end`, answered or not.
    #[must_use]
    pub fn ending(self, end: Instant) -> Self {
        Self(self.0.map(|terms| Terms { end, ..terms }))
    }

    /// The same, with nothing begun after two thirds of the time that is left now: so long may a look take that something is to follow,
    /// so that an account-region that never answers leaves time to act in the others.
    #[must_use]
    pub fn for_looking(self) -> Self {
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

    /// Until when the answer to one is awaited.
    pub(super) fn answer(self) -> Option<Instant> {
        let Terms { begin, end } = self.0?;
        Some(end.checked_sub(Self::MEMORY).unwrap_or(end).max(begin))
    }

    /// Until when its memory may be written, and everything is over.
    pub fn end(self) -> Option<Instant> {
        Some(self.0?.end)
    }
}
