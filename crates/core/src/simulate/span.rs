//! The span of a simulation. Dates are days in the schedule's time zone, so the same dates are another span in another zone.

use std::str::FromStr;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan as _};

/// A span of time that can be simulated: half-open, not empty, at most [`Span::LONGEST`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    from: Timestamp,
    to: Timestamp,
}

/// The beginning or end of a span as given on the command line: a date or an instant.
///
/// ```
/// use curfew_core::simulate::Bound;
///
/// assert!("2026-11-23".parse::<Bound>().is_ok());
/// assert!("2026-11-23T08:00:00Z".parse::<Bound>().is_ok());
/// assert!("2026-11-23T08:00".parse::<Bound>().is_err()); // in which zone?
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// A whole day in the schedule's time zone, which the span includes.
    Date(Date),
    /// An instant, independent of the time zone.
    Instant(Timestamp),
}

/// A text that is neither a date nor an instant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{}` is neither a date such as `2026-11-23` nor an instant such as `2026-11-23T08:00:00Z`",
    .0.escape_debug()
)]
pub struct InvalidBound(String);

/// The reason why a span can't be simulated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSpan {
    /// The span's end is not after its beginning.
    #[error("a span from `{from}` to `{to}` is empty")]
    Empty {
        /// The beginning of the refused span.
        from: Timestamp,
        /// The end of the refused span.
        to: Timestamp,
    },
    /// The span is longer than [`Span::LONGEST`].
    #[error("a span from `{from}` to `{to}` is too long: at most 370 days")]
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

impl FromStr for Bound {
    type Err = InvalidBound;

    fn from_str(text: &str) -> Result<Self, InvalidBound> {
        // jiff also parses `2026-11-23T08:00` as a date, and ignores the time.
        let bound = if text.contains(['T', 't', ' ']) {
            text.parse().ok().map(Self::Instant)
        } else {
            text.parse().ok().map(Self::Date)
        };
        bound.ok_or_else(|| InvalidBound(text.chars().take(40).collect()))
    }
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

    /// The number of days of a span whose end is not given.
    pub const DAYS: i64 = 14;

    /// Makes a span from two optional bounds. It begins today if no beginning is given, and has [`Span::DAYS`] days if no end is
    /// given. An end that is not after today ends a span of as many days.
    pub fn between(
        from: Option<Bound>,
        to: Option<Bound>,
        zone: &TimeZone,
        now: Timestamp,
    ) -> Result<Self, InvalidSpan> {
        let from = from.map(|bound| bound.beginning(zone)).transpose()?;
        let to = to.map(|bound| bound.end(zone)).transpose()?;
        let today = midnight(zone.to_datetime(now).date(), zone)?;
        match (from, to) {
            (Some(from), Some(to)) => Self::new(from, to),
            (None, Some(to)) if to <= today => Self::new(days_from(to, -Self::DAYS, zone)?, to),
            (None, Some(to)) => Self::new(today, to),
            (from, None) => {
                let from = from.unwrap_or(today);
                Self::new(from, days_from(from, Self::DAYS, zone)?)
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

/// 1970-01-01T00:00:00Z.
const FIRST: Timestamp = Timestamp::constant(0, 0);
/// 2200-01-01T00:00:00Z.
const LAST: Timestamp = Timestamp::constant(7_258_118_400, 0);

impl Bound {
    fn beginning(self, zone: &TimeZone) -> Result<Timestamp, InvalidSpan> {
        match self {
            Self::Date(date) => midnight(date, zone),
            Self::Instant(at) => Ok(at),
        }
    }

    fn end(self, zone: &TimeZone) -> Result<Timestamp, InvalidSpan> {
        match self {
            Self::Date(date) => midnight(shifted(date, 1)?, zone),
            Self::Instant(at) => Ok(at),
        }
    }
}

/// Returns the beginning of `date`: its first midnight, or the jump that skips it.
pub(super) fn midnight(date: Date, zone: &TimeZone) -> Result<Timestamp, InvalidSpan> {
    let begins = date.to_zoned(zone.clone());
    begins.map_or(
        Err(InvalidSpan::OutOfRange),
        |begins| Ok(begins.timestamp()),
    )
}

fn shifted(date: Date, days: i64) -> Result<Date, InvalidSpan> {
    date.checked_add(days.days())
        .map_err(|_| InvalidSpan::OutOfRange)
}

fn days_from(at: Timestamp, days: i64, zone: &TimeZone) -> Result<Timestamp, InvalidSpan> {
    let moved = at.to_zoned(zone.clone()).checked_add(days.days());
    moved.map_or(Err(InvalidSpan::OutOfRange), |moved| Ok(moved.timestamp()))
}
