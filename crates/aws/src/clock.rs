//! The only module that reads the time; it corrects this machine's clock by AWS's.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use jiff::{SignedDuration, Timestamp};

/// A source of the current time. The programs pass `now` down from one; no other code reads a clock.
///
/// A clock that a [`Connection`](crate::connect::Connection) corrects returns AWS's time, from the dates of EC2's responses:
/// the instants that several machines write to an instance's tags must be comparable. Clones share the correction.
#[derive(Clone)]
pub struct Clock {
    tell: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    /// How far AWS's time is ahead of this machine's, in milliseconds.
    ahead: Arc<AtomicI64>,
    /// `now` returns no instant before this one.
    floor: Timestamp,
}

impl Clock {
    /// The clock offset from which Curfew warns. Edges have a precision of one minute, and AWS refuses signatures that are
    /// more than five minutes off, so a smaller offset has no effect.
    pub const WARN_AT: SignedDuration = SignedDuration::from_mins(1);

    /// The operating system's clock.
    pub fn system() -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "all other code takes the time from this clock"
        )]
        Self::telling(Timestamp::now)
    }

    /// A clock that calls `tell` for the time, such as a model's virtual time or a fixed instant.
    pub fn telling(tell: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self {
            tell: Arc::new(tell),
            ahead: Arc::default(),
            floor: Timestamp::MIN,
        }
    }

    /// This clock, with `instant` as its earliest time: a pass that a rule triggers for a minute decides at that minute or
    /// later, even if the rule fired early or this machine's clock is slow.
    #[must_use]
    pub fn no_earlier_than(&self, instant: Timestamp) -> Self {
        Self {
            floor: self.floor.max(instant),
            ..self.clone()
        }
    }

    /// The current instant: AWS's time once a response had a date, before that this machine's.
    pub fn now(&self) -> Timestamp {
        let uncorrected = (self.tell)();
        let corrected = uncorrected.checked_add(self.ahead()).unwrap_or(uncorrected);
        corrected.max(self.floor)
    }

    /// The same clock without the correction, for comparison with this machine's own timestamps.
    #[must_use]
    pub fn uncorrected(&self) -> Self {
        Self {
            tell: Arc::clone(&self.tell),
            ahead: Arc::default(),
            floor: Timestamp::MIN,
        }
    }

    /// How far AWS's time is ahead of this machine's: negative if this machine's clock is fast, zero if no difference is
    /// measurable or no response has arrived.
    pub fn ahead(&self) -> SignedDuration {
        SignedDuration::from_millis(self.ahead.load(Ordering::Relaxed))
    }

    /// Corrects the clock by the date of a response, in whole seconds, and the instants of the uncorrected clock at which the
    /// request was sent and the response received.
    pub(crate) fn correct(&self, sent: Timestamp, date: Timestamp, received: Timestamp) {
        let ahead = corrected(self.ahead(), sent, date, received);
        let milliseconds = i64::try_from(ahead.as_millis()).unwrap_or_default();
        self.ahead.store(milliseconds, Ordering::Relaxed);
    }
}

/// Computes the correction after a response: none if this machine's clock may be right, the previous one if that may be
/// right, otherwise the one by which the date is exact. The date lacks a fraction of a second, so the corrected clock is at
/// AWS's time or slightly behind it.
fn corrected(
    before: SignedDuration,
    sent: Timestamp,
    date: Timestamp,
    received: Timestamp,
) -> SignedDuration {
    let least = date.duration_since(received);
    let exact = date.duration_since(sent);
    let most = exact + SignedDuration::from_secs(1);
    if least > most {
        // The clock was set between the two.
        return before;
    }
    let may_be_right = least..=most;
    if may_be_right.contains(&SignedDuration::ZERO) {
        SignedDuration::ZERO
    } else if before > most {
        exact
    } else {
        before.max(least)
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Clock").field(&self.now()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: i64) -> Timestamp {
        Timestamp::from_millisecond(1_795_000_000_000 + milliseconds).unwrap()
    }

    /// The correction in milliseconds after an answer, of a clock that had this one.
    fn after(before: i64, sent: i64, date: i64, received: i64) -> i64 {
        let before = SignedDuration::from_millis(before);
        let after = corrected(before, at(sent), at(date * 1000), at(received));
        i64::try_from(after.as_millis()).unwrap()
    }

    #[test]
    fn a_clock_that_may_be_right_is_not_corrected() {
        assert_eq!(after(0, 1_200, 1, 1_300), 0);
        assert_eq!(after(0, 900, 1, 1_100), 0);
        assert_eq!(
            after(0, 1_000, 2, 700_000),
            0,
            "a Lambda was frozen meanwhile"
        );
        assert_eq!(after(-600_000, 1_200, 1, 1_300), 0, "it was set right");
    }

    #[test]
    fn a_wrong_clock_is_corrected_to_at_most_aws_time_and_stays_monotonic() {
        let fast = after(0, 600_000, 0, 600_100);
        assert_eq!(fast, -600_000);
        assert_eq!(
            after(fast, 605_500, 6, 605_600),
            -599_600,
            "the date is more exact"
        );
        assert_eq!(after(-599_600, 606_900, 7, 607_000), -599_600);
        assert_eq!(after(-599_600, 608_300, 8, 608_400), -599_600);
        assert_eq!(after(0, 0, 600, 100), 599_900);
    }

    #[test]
    fn the_correction_is_shared_by_clones_and_optional() {
        let clock = Clock::telling(|| at(600_000));
        clock.clone().correct(at(600_000), at(0), at(600_000));
        assert_eq!(clock.now(), at(0));
        assert_eq!(clock.uncorrected().now(), at(600_000));
    }
}
