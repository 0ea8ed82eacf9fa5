//! Wall time to the minute, and months as sets of days. Time zones are handled in [`super::clock`].

use jiff::civil::{Date, DateTime};

/// The first year in which a schedule has edges. The range is that of AWS's year field; it also bounds every search.
pub(super) const FIRST_YEAR: i16 = 1970;
/// The last year in which a schedule has edges.
pub(super) const LAST_YEAR: i16 = 2199;

/// Whether a schedule has edges in the year of `date`.
pub(super) fn has_edges(date: Date) -> bool {
    (FIRST_YEAR..=LAST_YEAR).contains(&date.year())
}

/// Minutes in a day.
pub(super) const DAY: u16 = 24 * 60;

/// A local date and minute without a time zone, ordered by date and then by minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Wall {
    pub(super) date: Date,
    /// Minutes since midnight, 0–1439.
    pub(super) minute: u16,
}

impl Wall {
    /// The minute that contains `time`.
    pub(super) fn floor(time: DateTime) -> Self {
        Self {
            date: time.date(),
            minute: u16::from(time.hour().unsigned_abs()) * 60
                + u16::from(time.minute().unsigned_abs()),
        }
    }

    /// Midnight at the start of `date`.
    pub(super) fn midnight(date: Date) -> Self {
        Self { date, minute: 0 }
    }

    pub(super) fn to_datetime(self) -> DateTime {
        let hour =
            i8::try_from(self.minute / 60).expect("a minute of the day has an hour below 24");
        let minute = i8::try_from(self.minute % 60).expect("a remainder below 60");
        self.date.at(hour, minute, 0, 0)
    }
}

/// The days of one month as a bit set: bit 1 is the 1st, bit 31 the 31st.
pub(super) type Days = u32;

/// Bits 0, 7, 14, 21 and 28: multiplying by it repeats a week through a month.
const EVERY_SEVENTH: Days = 0x1020_4081;

/// The bit of day `day`.
pub(super) fn day_bit(day: i8) -> Days {
    1 << day.unsigned_abs()
}

/// Returns the bits of the days `first..=last`; none when `first` is after `last`.
pub(super) fn day_range(first: i8, last: i8) -> Days {
    let from_first = Days::MAX
        .checked_shl(first.unsigned_abs().into())
        .unwrap_or(0);
    let after_last = Days::MAX
        .checked_shl(u32::from(last.unsigned_abs()) + 1)
        .unwrap_or(0);
    from_first & !after_last
}

/// One month of one year, with its length and the weekday of its first day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Month {
    pub(super) year: i16,
    /// The month's number in the year, 1–12.
    pub(super) number: i8,
    /// The number of days, 28–31.
    pub(super) length: i8,
    /// The weekday of the 1st, 0 = Sunday.
    first_weekday: i8,
}

impl Month {
    /// Returns the month that contains `date`.
    pub(super) fn of(date: Date) -> Self {
        let first = date.first_of_month();
        Self {
            year: date.year(),
            number: date.month(),
            length: date.days_in_month(),
            first_weekday: first.weekday().to_sunday_zero_offset(),
        }
    }

    /// Returns the following month, or `None` after the last year.
    pub(super) fn next(self) -> Option<Self> {
        let (year, number) = match self.number {
            12 if self.year >= LAST_YEAR => return None,
            12 => (self.year + 1, 1),
            number => (self.year, number + 1),
        };
        Some(Self {
            year,
            number,
            length: length(year, number),
            first_weekday: (self.first_weekday + self.length) % 7,
        })
    }

    /// Returns the preceding month, or `None` before the first year.
    pub(super) fn previous(self) -> Option<Self> {
        let (year, number) = match self.number {
            1 if self.year <= FIRST_YEAR => return None,
            1 => (self.year - 1, 12),
            number => (self.year, number - 1),
        };
        let length = length(year, number);
        Some(Self {
            year,
            number,
            length,
            first_weekday: (self.first_weekday - length).rem_euclid(7),
        })
    }

    /// Returns the bits of all days of this month.
    pub(super) fn all(self) -> Days {
        day_range(1, self.length)
    }

    /// Returns the days of this month that fall on one of `weekdays` (bit 0 is Sunday).
    pub(super) fn on_weekdays(self, weekdays: u8) -> Days {
        // Rotate the week so that bit 0 is the weekday of the 1st, then repeat it through the month.
        let week = Days::from(weekdays) << 7 | Days::from(weekdays);
        let from_first = week >> self.first_weekday & 0b111_1111;
        (from_first.wrapping_mul(EVERY_SEVENTH) << 1) & self.all()
    }

    /// Returns the weekday of `day`, 0 = Sunday.
    pub(super) fn weekday(self, day: i8) -> i8 {
        (self.first_weekday + day - 1).rem_euclid(7)
    }

    pub(super) fn date(self, day: i8) -> Date {
        Date::constant(self.year, self.number, day)
    }
}

fn length(year: i16, month: i8) -> i8 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// The first and last date on which an edge is possible, both included. They bound every search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DateBounds {
    pub(super) first: Date,
    pub(super) last: Date,
}

impl DateBounds {
    /// All dates on which schedules have edges.
    pub(super) const ALL: Self = Self {
        first: Date::constant(FIRST_YEAR, 1, 1),
        last: Date::constant(LAST_YEAR, 12, 31),
    };

    /// Returns the first day on or after `from` whose bit is set in `days`, a function from a month to its days.
    pub(super) fn first_day_from(
        self,
        from: Date,
        mut days: impl FnMut(Month) -> Days,
    ) -> Option<Date> {
        let from = from.max(self.first);
        let mut month = Month::of(from);
        let mut mask = day_range(from.day(), 31);
        while (month.year, month.number) <= (self.last.year(), self.last.month()) {
            let bits = days(month) & mask;
            if bits != 0 {
                return Some(month.date(lowest(bits)));
            }
            month = month.next()?;
            mask = Days::MAX;
        }
        None
    }

    /// Returns the last day on or before `from` whose bit is set in `days`, a function from a month to its days.
    pub(super) fn last_day_until(
        self,
        from: Date,
        mut days: impl FnMut(Month) -> Days,
    ) -> Option<Date> {
        let from = from.min(self.last);
        let mut month = Month::of(from);
        let mut mask = day_range(1, from.day());
        while (month.year, month.number) >= (self.first.year(), self.first.month()) {
            let bits = days(month) & mask;
            if bits != 0 {
                return Some(month.date(highest(bits)));
            }
            month = month.previous()?;
            mask = Days::MAX;
        }
        None
    }
}

fn lowest(bits: Days) -> i8 {
    i8::try_from(bits.trailing_zeros()).expect("a bit's number is at most 31")
}

fn highest(bits: Days) -> i8 {
    i8::try_from(bits.ilog2()).expect("a bit's number is at most 31")
}
