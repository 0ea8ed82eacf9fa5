//! The span of a simulation. Times are in the schedule's time zone, so the same dates are another span in another zone.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan as _};

use crate::state_tags::whole_second;
use crate::time_expression::{TimeDirection, TimeExpression};

/// A span of time that can be simulated: half-open, not empty, at most [`Span::LONGEST`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    from: Timestamp,
    to: Timestamp,
}

/// The reason why a span can't be simulated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSpan {
    /// The span's end is not after its beginning.
    #[error("a span from {from} to {to} is empty")]
    Empty {
        /// The beginning of the refused span.
        from: Timestamp,
        /// The end of the refused span.
        to: Timestamp,
    },
    /// The span is longer than [`Span::LONGEST`].
    #[error("a span from {from} to {to} is too long: at most 370 days")]
    TooLong {
        /// The beginning of the refused span.
        from: Timestamp,
        /// The end of the refused span.
        to: Timestamp,
    },
    /// The span lies outside the years in which schedules have edges.
    #[error("schedules have edges in the years 1970 to 2199 only")]
    OutOfRange,
}

impl Span {
    /// The maximum length: a leap year and the rest of a week. The output has a row for each day, so a longer span would make it
    /// too large to read.
    pub const LONGEST: SignedDuration = SignedDuration::from_hours(370 * 24);

    /// Makes a span from `from`, inclusive, to `to`, exclusive. Fails if it is empty, too long or out of range.
    pub fn new(from: Timestamp, to: Timestamp) -> Result<Self, InvalidSpan> {
        if from >= to {
            Err(InvalidSpan::Empty { from, to })
        } else if to.duration_since(from) > Self::LONGEST {
            Err(InvalidSpan::TooLong { from, to })
        } else if from < FIRST || to > LAST {
            Err(InvalidSpan::OutOfRange)
        } else {
            Ok(Self { from, to })
        }
    }

    /// Makes a span of whole days in `zone`, both included. Fails as [`Self::new`] does.
    pub fn of_days(first: Date, last: Date, zone: &TimeZone) -> Result<Self, InvalidSpan> {
        let end = last.tomorrow().map_err(|_| InvalidSpan::OutOfRange)?;
        Self::new(midnight(first, zone)?, midnight(end, zone)?)
    }

    /// The number of days of a span whose end is not given.
    pub const DAYS: i64 = 14;

    /// Makes a span from two optional times in `zone`; [`TimeExpression::end_of_span`] defines its end. It begins today if no
    /// beginning is given, and has [`Span::DAYS`] days if no end is given. An end that is not after today ends a span of as many days.
    pub fn between(
        from: Option<TimeExpression>,
        to: Option<TimeExpression>,
        zone: &TimeZone,
        now: Timestamp,
    ) -> Result<Self, InvalidSpan> {
        // Edges are at whole seconds.
        let now = whole_second(now);
        let in_range = |at: Option<Timestamp>| at.ok_or(InvalidSpan::OutOfRange);
        let today = midnight(zone.to_datetime(now).date(), zone)?;
        let begin = match from {
            Some(from) => in_range(from.instant(TimeDirection::Future, zone, now))?,
            None => today,
        };
        match to {
            None => Self::new(begin, days_from(begin, Self::DAYS, zone)?),
            Some(to) => {
                let end = in_range(to.end_of_span(begin, zone, now))?;
                if from.is_none() && end <= today {
                    Self::new(days_from(end, -Self::DAYS, zone)?, end)
                } else {
                    Self::new(begin, end)
                }
            }
        }
    }

    /// Returns the beginning, inclusive.
    pub fn from(self) -> Timestamp {
        self.from
    }

    /// Returns the end, exclusive.
    pub fn to(self) -> Timestamp {
        self.to
    }
}

/// The beginning of the local year 1970 in UTC, before which no schedule has edges.
const FIRST: Timestamp = Timestamp::constant(0, 0);
/// The end of the year 2199 in UTC, after which no schedule has edges.
const LAST: Timestamp = Timestamp::constant(7_258_118_400, 0);

/// Returns the beginning of `date`: its first midnight, or the jump that skips it.
pub(super) fn midnight(date: Date, zone: &TimeZone) -> Result<Timestamp, InvalidSpan> {
    let begins = date.to_zoned(zone.clone());
    begins.map_or(
        Err(InvalidSpan::OutOfRange),
        |begins| Ok(begins.timestamp()),
    )
}

fn days_from(at: Timestamp, days: i64, zone: &TimeZone) -> Result<Timestamp, InvalidSpan> {
    let moved = at.to_zoned(zone.clone()).checked_add(days.days());
    moved.map_or(Err(InvalidSpan::OutOfRange), |moved| Ok(moved.timestamp()))
}
