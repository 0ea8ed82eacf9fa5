//! Crons in both syntaxes: five Unix fields, and AWS's `cron(…)` with six. A cron is in wall time; [`super::rules`] applies
//! the time zone.

use std::fmt;
use std::str::FromStr;

use jiff::civil::Date;

use super::calendar::{DAY, DateBounds, Days, FIRST_YEAR, Month, Wall, day_bit};
use super::days::{Dialect, MonthDays, Weekdays};
use super::field::{HOUR, MINUTE, MONTH, Numbers, YEAR};

/// A cron in either syntax: a set of wall times in the time zone of its schedule.
///
/// - Five fields are Unix cron. Where both day fields are restricted, either matches; a field that begins with `*`
///   counts as unrestricted, as in Vixie's cron (`man 5 crontab`). Names are accepted in any case, ranges may wrap
///   around (`FRI-MON`, `20-2`), and `5/15` means "from 5 on".
/// - `cron(…)` with six fields is AWS's syntax, see "Cron expressions reference" in the
///   [`EventBridge` user guide](https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-cron-expressions.html):
///   1 is Sunday, one of the day fields is `?`, and `L`, `W` and `#` are supported.
///
/// `Display` writes the canonical form, with weekdays by name. It parses to an equal cron.
///
/// ```
/// use curfew_core::timetable::Cron;
///
/// let cron: Cron = "cron(0 20 ? * 2-6 *)".parse().unwrap();
/// assert_eq!(cron.to_string(), "cron(0 20 ? * MON-FRI *)");
/// let cron: Cron = "0 20 * * 1-5".parse().unwrap();
/// assert_eq!(cron.to_string(), "0 20 * * MON-FRI");
///
/// let refused = "cron(0 20 * * MON-FRI *)".parse::<Cron>().unwrap_err();
/// assert!(refused.contains("one of the two day fields must be `?`"));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Cron {
    dialect: Dialect,
    minute: Numbers,
    hour: Numbers,
    /// `None` if the field is `?`.
    dates: Option<MonthDays>,
    month: Numbers,
    /// `None` if the field is `?`.
    weekdays: Option<Weekdays>,
    year: Numbers,
    minutes: u64,
    hours: u64,
    months: u64,
    /// One bit for each year, from 1970 on.
    years: [u64; 4],
}

impl Cron {
    /// Returns the days of `month` on which the cron fires.
    pub(super) fn days(&self, month: Month) -> Days {
        if !self.has_year(month.year) || self.months & (1 << month.number) == 0 {
            return 0;
        }
        match (&self.dates, &self.weekdays) {
            (Some(dates), Some(weekdays)) if self.either_day() => {
                dates.of(month) | weekdays.of(month)
            }
            (Some(dates), Some(weekdays)) => dates.of(month) & weekdays.of(month),
            (Some(dates), None) => dates.of(month),
            (None, Some(weekdays)) => weekdays.of(month),
            (None, None) => month.all(),
        }
    }

    /// Returns the first firing after `after` on a day that lies within `bounds` and is in `allowed`.
    pub(super) fn next(
        &self,
        after: Wall,
        bounds: DateBounds,
        allowed: impl Fn(Month) -> Days,
    ) -> Option<Wall> {
        let today = self
            .minute_from(after.minute + 1)
            .map(|minute| Wall { minute, ..after })
            .filter(|wall| self.is_on(wall.date, &allowed));
        today.or_else(|| {
            let date = bounds.first_day_from(after.date.tomorrow().ok()?, |month| {
                self.days(month) & allowed(month)
            })?;
            self.minute_from(0).map(|minute| Wall { date, minute })
        })
    }

    /// Returns the last firing at or before `until` on a day that lies within `bounds` and is in `allowed`.
    pub(super) fn previous(
        &self,
        until: Wall,
        bounds: DateBounds,
        allowed: impl Fn(Month) -> Days,
    ) -> Option<Wall> {
        let today = self
            .minute_until(until.minute)
            .map(|minute| Wall { minute, ..until })
            .filter(|wall| self.is_on(wall.date, &allowed));
        today.or_else(|| {
            let date = bounds.last_day_until(until.date.yesterday().ok()?, |month| {
                self.days(month) & allowed(month)
            })?;
            self.minute_until(DAY - 1)
                .map(|minute| Wall { date, minute })
        })
    }

    /// Returns whether the cron fires at `wall`.
    pub(super) fn is_at(&self, wall: Wall) -> bool {
        self.minute_from(wall.minute) == Some(wall.minute) && self.is_on(wall.date, &Month::all)
    }

    fn is_on(&self, date: Date, allowed: &impl Fn(Month) -> Days) -> bool {
        let month = Month::of(date);
        self.days(month) & allowed(month) & day_bit(date.day()) != 0
    }

    /// Returns the first firing of a day at or after `minute`, in minutes after midnight.
    fn minute_from(&self, minute: u16) -> Option<u16> {
        if minute >= DAY {
            return None;
        }
        let (hour, within) = (minute / 60, minute % 60);
        if self.hours & (1 << hour) != 0 {
            let left = self.minutes >> within;
            if left != 0 {
                return Some(minute + low(left));
            }
        }
        let later = self.hours & (u64::MAX << hour << 1);
        (later != 0).then(|| low(later) * 60 + low(self.minutes))
    }

    /// Returns the last firing of a day at or before `minute`, in minutes after midnight.
    fn minute_until(&self, minute: u16) -> Option<u16> {
        let (hour, within) = (minute / 60, minute % 60);
        if self.hours & (1 << hour) != 0 {
            let left = self.minutes & (u64::MAX >> (63 - within));
            if left != 0 {
                return Some(hour * 60 + high(left));
            }
        }
        let earlier = self.hours & !(u64::MAX << hour);
        (earlier != 0).then(|| high(earlier) * 60 + high(self.minutes))
    }

    /// Returns whether a match of either day field suffices: Vixie's rule for two fields that don't begin with a star.
    pub(super) fn either_day(&self) -> bool {
        match (&self.dates, &self.weekdays) {
            (Some(dates), Some(weekdays)) => {
                !dates.starts_with_star() && !weekdays.starts_with_star()
            }
            _ => false,
        }
    }

    fn has_year(&self, year: i16) -> bool {
        u16::try_from(year - FIRST_YEAR)
            .ok()
            .and_then(|bit| Some(self.years.get(usize::from(bit / 64))? & (1 << (bit % 64)) != 0))
            .unwrap_or(false)
    }

    /// Returns the minutes of the hour as a bit set.
    pub(super) fn minutes(&self) -> u64 {
        self.minutes
    }

    /// Returns the hours of the day as a bit set.
    pub(super) fn hours(&self) -> u64 {
        self.hours
    }

    /// Returns the months as a bit set; bit 1 is January.
    pub(super) fn months(&self) -> u64 {
        self.months
    }

    pub(super) fn dates(&self) -> Option<&MonthDays> {
        self.dates.as_ref().filter(|dates| !dates.is_every())
    }

    pub(super) fn weekdays(&self) -> Option<&Weekdays> {
        self.weekdays
            .as_ref()
            .filter(|weekdays| !weekdays.is_every())
    }

    /// Returns the years of `years` in which the cron fires, or `None` when it does not restrict the year.
    pub(super) fn years_among(&self, years: std::ops::RangeInclusive<i16>) -> Option<Vec<i16>> {
        (!self.year.is_every()).then(|| years.filter(|year| self.has_year(*year)).collect())
    }

    fn from_fields(dialect: Dialect, fields: &[&str]) -> Result<Self, String> {
        let [minute, hour, dates, month, weekdays, rest @ ..] = fields else {
            return Err("a cron has at least five fields".to_owned());
        };
        let unspecified = |field: &str| dialect == Dialect::Aws && field == "?";
        let minute = Numbers::parse(minute, &MINUTE)?;
        let hour = Numbers::parse(hour, &HOUR)?;
        let month = Numbers::parse(month, &MONTH)?;
        let year = match rest.first() {
            Some(year) => parse_years(year)?,
            None => Numbers::every(),
        };
        let mut years = [0; 4];
        for value in year.values(&YEAR) {
            let bit = value - YEAR.min;
            years[usize::from(bit / 64)] |= 1 << (bit % 64);
        }
        Ok(Self {
            dialect,
            dates: (!unspecified(dates))
                .then(|| MonthDays::parse(dates, dialect))
                .transpose()?,
            weekdays: (!unspecified(weekdays))
                .then(|| Weekdays::parse(weekdays, dialect))
                .transpose()?,
            minutes: minute.bits(&MINUTE),
            hours: hour.bits(&HOUR),
            months: month.bits(&MONTH),
            years,
            minute,
            hour,
            month,
            year,
        })
    }
}

fn low(bits: u64) -> u16 {
    u16::try_from(bits.trailing_zeros()).unwrap_or(0)
}

fn high(bits: u64) -> u16 {
    u16::try_from(bits.ilog2()).unwrap_or(0)
}

fn parse_years(text: &str) -> Result<Numbers, String> {
    for item in text.split(',') {
        let range = item.split('/').next().unwrap_or(item);
        if let Some((first, last)) = range.split_once('-')
            && YEAR.value(last)? < YEAR.value(first)?
        {
            return Err(format!(
                "`{range}` runs backward; write the earlier year first"
            ));
        }
    }
    Numbers::parse(text, &YEAR)
}

impl FromStr for Cron {
    type Err = String;

    /// Parses either syntax; the error is one sentence about the first problem.
    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let explain = |reason: String| format!("`{text}`: {reason}");
        if let Some(inner) = text.strip_prefix("cron(") {
            let inner = inner
                .strip_suffix(')')
                .ok_or_else(|| format!("`{text}` has no closing parenthesis"))?;
            return parse_aws(text, &inner.split_whitespace().collect::<Vec<_>>());
        }
        if text.starts_with("rate(") {
            return Err(format!(
                "`{text}` has no time of day; starts and stops are crons, a rate is for the heartbeat"
            ));
        }
        if text.starts_with('@') {
            return Err(format!(
                "`{text}` is a nickname; write the five fields, as in `0 20 * * 1-5`"
            ));
        }
        let fields: Vec<_> = text.split_whitespace().collect();
        match fields.len() {
            5 if fields.contains(&"?") => Err(format!(
                "`{text}` uses `?`, which five-field cron does not have; write `*`, or AWS's six fields in `cron(…)`"
            )),
            5 => Self::from_fields(Dialect::Unix, &fields).map_err(explain),
            6 => Err(format!(
                "`{text}` has six fields, which could be seconds first or a year last; write AWS's six fields as `cron({text})`"
            )),
            count => Err(format!(
                "`{text}` has {count} field{}; a cron is five fields, as in `0 20 * * 1-5`, or AWS's six in `cron(…)`",
                if count == 1 { "" } else { "s" }
            )),
        }
    }
}

fn parse_aws(text: &str, fields: &[&str]) -> Result<Cron, String> {
    if fields.len() != 6 {
        let hint = if fields.len() == 5 {
            "; five fields are Unix cron: write them without `cron()`, or add the year (`*`)"
        } else {
            ", as in `cron(0 20 ? * MON-FRI *)`"
        };
        return Err(format!(
            "`{text}` has {} field{}, and AWS's `cron()` takes six: minute hour day month weekday year{hint}",
            fields.len(),
            if fields.len() == 1 { "" } else { "s" },
        ));
    }
    match (fields[2] == "?", fields[4] == "?") {
        (true, true) => Err(format!(
            "`{text}` has `?` in both day fields, and AWS takes it in one: write `*` in the other"
        )),
        (false, false) => Err(format!(
            "`{text}` gives both day fields, and AWS takes one: one of the two day fields must be `?`"
        )),
        _ => {
            Cron::from_fields(Dialect::Aws, fields).map_err(|reason| format!("`{text}`: {reason}"))
        }
    }
}

impl fmt::Display for Cron {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let aws = self.dialect == Dialect::Aws;
        formatter.write_str(if aws { "cron(" } else { "" })?;
        write!(formatter, "{} {} ", self.minute, self.hour)?;
        match &self.dates {
            Some(dates) => write!(formatter, "{dates}")?,
            None => formatter.write_str("?")?,
        }
        write!(formatter, " {} ", self.month)?;
        match &self.weekdays {
            Some(weekdays) => write!(formatter, "{weekdays}")?,
            None => formatter.write_str("?")?,
        }
        if aws {
            write!(formatter, " {})", self.year)
        } else {
            Ok(())
        }
    }
}
