//! The one place where time is read, and put right by what AWS says it is.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use jiff::{SignedDuration, Timestamp};

/// Tells the time. Shells hold one and hand `now` down; nothing else reads a clock.
///
/// A clock that a [`Connection`](crate::connect::Connection) corrects tells AWS's time, by the dates of EC2's answers: what one
/// machine writes on an instance has to be comparable with what others do. Clones share the correction.
#[derive(Clone)]
pub struct Clock {
    tell: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    /// By how many milliseconds AWS's time is ahead.
    ahead: Arc<AtomicI64>,
    /// It tells of nothing before this instant.
    floor: Timestamp,
}

impl Clock {
    /// A machine's clock that is off by this much is told of. An edge is to the minute, and AWS refuses signatures that are more
    /// than five minutes off, so less than that is noticed by nothing else.
    pub const WARN_AT: SignedDuration = SignedDuration::from_mins(1);

    /// The operating system's clock.
    pub fn system() -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "this is the one clock that everything else is told by"
        )]
        Self::telling(Timestamp::now)
    }

    /// A clock that says what `tell` says: a model's virtual time, or a fixed instant.
    pub fn telling(tell: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self {
            tell: Arc::new(tell),
            ahead: Arc::default(),
            floor: Timestamp::MIN,
        }
    }

    /// This clock, which does not tell of anything before `instant`: a pass that a rule made happen for a minute decides at that minute
    /// or later, however early the rule fired and however late this machine's clock is.
    #[must_use]
    pub fn no_earlier_than(&self, instant: Timestamp) -> Self {
        Self {
            floor: self.floor.max(instant),
            ..self.clone()
        }
    }

    /// The current instant, by AWS's time as far as that is known.
    pub fn now(&self) -> Timestamp {
        let told = (self.tell)();
        let corrected = told.checked_add(self.ahead()).unwrap_or(told);
        corrected.max(self.floor)
    }

    /// The same clock without a correction: for what is to be compared with this machine's own time.
    #[must_use]
    pub fn uncorrected(&self) -> Self {
        Self {
            tell: Arc::clone(&self.tell),
            ahead: Arc::default(),
            floor: Timestamp::MIN,
        }
    }

    /// By how much AWS's time is ahead of this machine's; negative where this machine's clock is fast, zero where they agree as
    /// far as can be told, and before the first answer.
    pub fn ahead(&self) -> SignedDuration {
        SignedDuration::from_millis(self.ahead.load(Ordering::Relaxed))
    }

    /// Learns AWS's time from the date of an answer, which is in whole seconds, and the instants by the uncorrected clock between
    /// which that date was set.
    pub(crate) fn correct(&self, sent: Timestamp, date: Timestamp, received: Timestamp) {
        let ahead = corrected(self.ahead(), sent, date, received);
        let milliseconds = i64::try_from(ahead.as_millis()).unwrap_or_default();
        self.ahead.store(milliseconds, Ordering::Relaxed);
    }
}

/// The correction after an answer: none if this machine's clock may be right, else as it was if that may be right, else one by
/// which the date was exact: it lacks a fraction of a second, so that a clock is corrected to AWS's time or to a little before.
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
        // The clock was set meanwhile.
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
    fn a_clock_that_is_off_is_corrected_to_aws_time_at_most_and_then_goes_steadily() {
        let fast = after(0, 600_000, 0, 600_100);
        assert_eq!(fast, -600_000);
        assert_eq!(
            after(fast, 605_500, 6, 605_600),
            -599_600,
            "the date says more"
        );
        assert_eq!(after(-599_600, 606_900, 7, 607_000), -599_600);
        assert_eq!(after(-599_600, 608_300, 8, 608_400), -599_600);
        assert_eq!(after(0, 0, 600, 100), 599_900);
    }

    #[test]
    fn what_is_corrected_is_shared_by_clones_and_left_out_on_demand() {
        let clock = Clock::telling(|| at(600_000));
        clock.clone().correct(at(600_000), at(0), at(600_000));
        assert_eq!(clock.now(), at(0));
        assert_eq!(clock.uncorrected().now(), at(600_000));
    }
}
