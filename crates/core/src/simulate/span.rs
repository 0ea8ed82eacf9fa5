//! From when to when: dates are days in the schedule's own zone, so that a span of dates is another one for each zone.

use std::str::FromStr;

use jiff::civil::{Date, Weekday};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan as _};

/// A stretch of time that can be simulated: half-open, not empty, at most [`Span::LONGEST`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    from: Timestamp,
    to: Timestamp,
}

/// An end of a span as a person gives it: a date, or an instant.
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
    /// The whole day, in the schedule's zone: a span begins with it, and ends after it.
    Date(Date),
    /// Exactly this instant.
    Instant(Timestamp),
}

/// Neither a date nor an instant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{}` is neither a date such as `2026-11-23` nor an instant such as `2026-11-23T08:00:00Z`",
    .0.escape_debug()
)]
pub struct BadBound(String);

/// A span that can't be simulated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSpan {
    /// It ends where it begins, or before.
    #[error("a span from `{from}` to `{to}` is empty")]
    Empty {
        /// Where it would begin.
        from: Timestamp,
        /// Where it would end.
        to: Timestamp,
    },
    /// A line for each day is no overview any more.
    #[error("a span from `{from}` to `{to}` is too long: at most 370 days")]
    TooLong {
        /// Where it would begin.
        from: Timestamp,
        /// Where it would end.
        to: Timestamp,
    },
    /// Schedules have no edges there.
    #[error("schedules have edges in the years 1970 to 2199 only")]
    OutOfRange,
}

impl FromStr for Bound {
    type Err = BadBound;

    fn from_str(text: &str) -> Result<Self, BadBound> {
        // jiff reads a date out of `2026-11-23T08:00` too, and drops the time.
        let bound = if text.contains(['T', 't', ' ']) {
            text.parse().ok().map(Self::Instant)
        } else {
            text.parse().ok().map(Self::Date)
        };
        bound.ok_or_else(|| BadBound(text.chars().take(40).collect()))
    }
}

impl Span {
    /// A year, its leap day, and the rest of a week: longer than anyone plans, and still a file that opens.
    pub const LONGEST: SignedDuration = SignedDuration::from_hours(370 * 24);

    /// From `from` up to `to`.
    pub fn new(from: Timestamp, to: Timestamp) -> Result<Self, BadSpan> {
        if from >= to {
            Err(BadSpan::Empty { from, to })
        } else if to.duration_since(from) > Self::LONGEST {
            Err(BadSpan::TooLong { from, to })
        } else if from < FIRST || to > LAST {
            Err(BadSpan::OutOfRange)
        } else {
            Ok(Self { from, to })
        }
    }

    /// The week, Monday to Sunday, that `now` is in.
    pub fn week_of(now: Timestamp, zone: &TimeZone) -> Result<Self, BadSpan> {
        let today = zone.to_datetime(now).date();
        let since_monday = today.weekday().since(Weekday::Monday);
        let monday = shifted(today, -i64::from(since_monday))?;
        Self::new(
            midnight(monday, zone)?,
            midnight(shifted(monday, 7)?, zone)?,
        )
    }

    /// What a person asked for: a missing end is seven days from the other one; without both it is the week of `now`.
    pub fn between(
        from: Option<Bound>,
        to: Option<Bound>,
        zone: &TimeZone,
        now: Timestamp,
    ) -> Result<Self, BadSpan> {
        let from = from.map(|bound| bound.beginning(zone)).transpose()?;
        let to = to.map(|bound| bound.end(zone)).transpose()?;
        match (from, to) {
            (None, None) => Self::week_of(now, zone),
            (Some(from), None) => Self::new(from, week_from(from, 1, zone)?),
            (None, Some(to)) => Self::new(week_from(to, -1, zone)?, to),
            (Some(from), Some(to)) => Self::new(from, to),
        }
    }

    /// Where it begins, included.
    pub fn from(self) -> Timestamp {
        self.from
    }

    /// Where it ends, excluded.
    pub fn to(self) -> Timestamp {
        self.to
    }
}

/// 1970-01-01T00:00:00Z.
const FIRST: Timestamp = Timestamp::constant(0, 0);
/// 2200-01-01T00:00:00Z.
const LAST: Timestamp = Timestamp::constant(7_258_118_400, 0);

impl Bound {
    fn beginning(self, zone: &TimeZone) -> Result<Timestamp, BadSpan> {
        match self {
            Self::Date(date) => midnight(date, zone),
            Self::Instant(at) => Ok(at),
        }
    }

    fn end(self, zone: &TimeZone) -> Result<Timestamp, BadSpan> {
        match self {
            Self::Date(date) => midnight(shifted(date, 1)?, zone),
            Self::Instant(at) => Ok(at),
        }
    }
}

/// When `date` begins: at its first midnight, or at the jump over it.
pub(super) fn midnight(date: Date, zone: &TimeZone) -> Result<Timestamp, BadSpan> {
    let begins = date.to_zoned(zone.clone());
    begins.map_or(Err(BadSpan::OutOfRange), |begins| Ok(begins.timestamp()))
}

fn shifted(date: Date, days: i64) -> Result<Date, BadSpan> {
    date.checked_add(days.days())
        .map_err(|_| BadSpan::OutOfRange)
}

fn week_from(at: Timestamp, weeks: i64, zone: &TimeZone) -> Result<Timestamp, BadSpan> {
    let moved = at.to_zoned(zone.clone()).checked_add(weeks.weeks());
    moved.map_or(Err(BadSpan::OutOfRange), |moved| Ok(moved.timestamp()))
}
