//! Windows: days and two times of day. This module parses the long form (days, dates, months, from, to) and the one-line form.

use std::fmt;
use std::str::FromStr;

use super::calendar::{DAY, Days, Month, Wall};
use super::days::{self, Dialect, MonthDays, Weekdays};
use super::field::{self, MONTH, Numbers};

/// Running time: `from`–`to` on some days, half-open (`to` itself is outside).
///
/// Days of the week, days of the month and months are combined with *and*; a part that isn't given allows every day. If `to` is
/// not after `from`, the window ends on the next day; if `to` names a day of the week, it ends on the next such day, up to a
/// week later. `from` defaults to 00:00 and `to` to 24:00. A window belongs to the day on which it begins.
///
/// In one line: `Mon-Fri 08:00-20:00`, `Mon#1 months=Jan-Jun 22:00-06:00`, `dates=1-7,L`, `Fri 20:00-Mon 06:00`.
///
/// ```
/// use curfew_core::timetable::Window;
///
/// let window: Window = "monday-FRI 8:00-20:00".parse().unwrap();
/// assert_eq!(window.to_string(), "Mon-Fri 08:00-20:00");
///
/// let weekend: Window = "Fri 20:00 - Mon 6:00".parse().unwrap();
/// assert_eq!(weekend.to_string(), "Fri 20:00-Mon 06:00");
///
/// let refused = "Mon-Fri 9-17".parse::<Window>().unwrap_err();
/// assert!(refused.contains("write times with minutes, as in `09:00-17:00`"));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Window {
    weekdays: Option<Weekdays>,
    dates: Option<MonthDays>,
    months: Option<Numbers>,
    month_bits: u64,
    /// Minutes after midnight, 0–1439.
    from: u16,
    /// Minutes after midnight of the day on which the window begins; after `from`, and less than a week after it.
    to: u16,
}

/// A window's parts as text; every one may be missing.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct WindowParts<'t> {
    pub(super) days: Option<&'t str>,
    pub(super) dates: Option<&'t str>,
    pub(super) months: Option<&'t str>,
    pub(super) from: Option<&'t str>,
    pub(super) to: Option<&'t str>,
}

impl Window {
    /// Parses the parts. The error has the name of each malformed part, with one sentence about it.
    pub(super) fn from_parts(parts: WindowParts<'_>) -> Result<Self, Vec<(&'static str, String)>> {
        let mut problems = Vec::new();
        let mut keep = |part, problem| problems.push((part, problem));
        let weekdays = optional(parts.days, |text| {
            Weekdays::parse(&tight(text), Dialect::Window)
        })
        .unwrap_or_else(|problem| {
            keep("days", problem);
            None
        });
        let dates = optional(parts.dates, |text| {
            MonthDays::parse(&tight(text), Dialect::Window)
        })
        .unwrap_or_else(|problem| {
            keep("dates", problem);
            None
        });
        let months = optional(parts.months, |text| Numbers::parse(&tight(text), &MONTH))
            .unwrap_or_else(|problem| {
                keep("months", problem);
                None
            });
        let from = optional(parts.from, time_of_day).unwrap_or_else(|problem| {
            keep("from", problem);
            None
        });
        let (end_day, to) = match parts.to.map(end_of_window).transpose() {
            Ok(Some((day, time))) => (day, Some(time)),
            Ok(None) => (None, None),
            Err(problem) => {
                keep("to", problem);
                (None, None)
            }
        };
        let (from, to) = (from.unwrap_or(0), to.unwrap_or(DAY));
        if from == DAY {
            keep(
                "from",
                "`24:00` is the end of a day; a window begins at `00:00`–`23:59`".to_owned(),
            );
        }
        let same_time = from == to && from != DAY;
        let to = match end_day.map(|day| days_later(weekdays.as_ref(), day, from, to)) {
            None if to > from => to,
            None => to + DAY,
            Some(Ok(days)) => to + days * DAY,
            Some(Err(problem)) => {
                keep("to", problem);
                to
            }
        };
        if end_day.is_none() && same_time {
            let time = TimeOfDay(from);
            keep(
                "to",
                format!(
                    "a window from `{time}` to `{time}` is empty or a whole day; for a whole day leave both out"
                ),
            );
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Self {
            weekdays,
            dates,
            month_bits: months
                .as_ref()
                .map_or(u64::MAX, |months| months.bits(&MONTH)),
            months,
            from,
            to,
        })
    }

    /// Parses one or several windows in a line. Several have the same days and more than one time: `08:00-12:00,13:00-17:00`.
    pub(super) fn parse_line(text: &str) -> Result<Vec<Self>, String> {
        let spaced = text
            .replace(" - ", "-")
            .replace(", ", ",")
            .replace(" ,", ",");
        let mut parts = WindowParts::default();
        let mut times = None;
        let words = join_end_days(&spaced);
        for word in words.iter().map(String::as_str) {
            let (slot, value) = if let Some(value) = word.strip_prefix("days=") {
                (&mut parts.days, value)
            } else if let Some(value) = word.strip_prefix("dates=") {
                (&mut parts.dates, value)
            } else if let Some(value) = word.strip_prefix("months=") {
                (&mut parts.months, value)
            } else if word.contains(':') {
                (&mut times, word)
            } else if word.starts_with(|character: char| character.is_ascii_digit()) {
                return Err(format!(
                    "`{word}` in `{text}` could be hours or days: write times with minutes, as in `09:00-17:00`, and \
                     days of the month as `dates={word}`"
                ));
            } else {
                (&mut parts.days, word)
            };
            if let Some(first) = slot {
                return Err(format!(
                    "`{text}` has `{first}` and `{word}`, which say the same kind of thing twice; join several windows with `;`"
                ));
            }
            *slot = Some(value);
        }
        if spaced.trim().is_empty() {
            return Err("a window is empty; write it like `Mon-Fri 08:00-20:00`".to_owned());
        }
        let window = |parts| {
            Self::from_parts(parts).map_err(|problems| {
                let reasons: Vec<_> = problems.into_iter().map(|(_, problem)| problem).collect();
                format!("`{text}`: {}", reasons.join("; "))
            })
        };
        let Some(times) = times else {
            return Ok(vec![window(parts)?]);
        };
        times
            .split(',')
            .map(|time| {
                let (from, to) = time.split_once('-').ok_or_else(|| {
                    format!("`{time}` in `{text}` is one time; write two, as in `08:00-20:00`")
                })?;
                window(WindowParts {
                    from: Some(from).filter(|from| !from.is_empty()),
                    to: Some(to).filter(|to| !to.is_empty()),
                    ..parts
                })
            })
            .collect()
    }

    /// Returns the days of `month` on which the window begins.
    pub(super) fn days(&self, month: Month) -> Days {
        if self.month_bits & (1 << month.number) == 0 {
            return 0;
        }
        self.weekdays
            .as_ref()
            .map_or(Days::MAX, |days| days.of(month))
            & self
                .dates
                .as_ref()
                .map_or(Days::MAX, |dates| dates.of(month))
            & month.all()
    }

    /// Returns the beginning, in minutes after midnight.
    pub(super) fn from(&self) -> u16 {
        self.from
    }

    /// Returns the end, in minutes after the same midnight; more than 1440 for a window that ends on a later day.
    pub(super) fn to(&self) -> u16 {
        self.to
    }

    /// Returns the number of days from the beginning to the end. An end at 24:00 counts as 00:00 of the next day.
    pub(super) fn end_day(&self) -> u16 {
        self.to / DAY
    }

    /// Returns the end as days after the beginning, and the time on that day, up to 24:00.
    fn end(&self) -> (u16, u16) {
        match (self.to / DAY, self.to % DAY) {
            (days, 0) => (days - 1, DAY),
            end => end,
        }
    }

    pub(super) fn weekdays(&self) -> Option<&Weekdays> {
        self.weekdays.as_ref().filter(|days| !days.is_every())
    }

    pub(super) fn dates(&self) -> Option<&MonthDays> {
        self.dates.as_ref().filter(|dates| !dates.is_every())
    }

    /// Returns the months as a bit set; bit 1 is January.
    pub(super) fn months(&self) -> u64 {
        self.month_bits
    }

    /// Returns whether the window contains `wall`, without regard to `except` and `only`.
    pub(super) fn contains(&self, wall: Wall) -> bool {
        let mut date = Some(wall.date);
        (0..=self.end_day()).any(|days| {
            let begins = date.is_some_and(|date| {
                self.days(Month::of(date)) & super::calendar::day_bit(date.day()) != 0
            });
            date = date.and_then(|date| date.yesterday().ok());
            begins && (self.from..self.to).contains(&(wall.minute + days * DAY))
        })
    }
}

/// Splits a line into words; an end that names its day (`20:00-Mon 06:00`) is one word.
fn join_end_days(line: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for word in line.split_whitespace() {
        let is_incomplete = |last: &String| {
            let has_time = last.contains(':') || last.starts_with('-');
            has_time && last.ends_with(|last: char| last.is_ascii_alphabetic())
        };
        match words.last_mut().filter(|last| is_incomplete(last)) {
            Some(last) => {
                last.push(' ');
                last.push_str(word);
            }
            None => words.push(word.to_owned()),
        }
    }
    words
}

/// Parses a time of day with an optional day of the week before it (0 is Sunday).
fn end_of_window(text: &str) -> Result<(Option<u8>, u16), String> {
    match text.trim().split_once(char::is_whitespace) {
        None => Ok((None, time_of_day(text)?)),
        Some((day, time)) => Ok((
            Some(days::one_weekday(day, Dialect::Window)?),
            time_of_day(time)?,
        )),
    }
}

/// Returns the number of days from the weekday in `begin` to the next weekday `end`, for a window from `from` to `to`.
fn days_later(begin: Option<&Weekdays>, end: u8, from: u16, to: u16) -> Result<u16, String> {
    let begin = begin
        .map_or(0, Weekdays::widest)
        .checked_ilog2()
        .filter(|day| begin.is_some_and(|days| days.widest() == 1 << day))
        .ok_or(
            "a window that ends on a named day begins on one named day, as in `Fri 20:00-Mon 06:00`",
        )?;
    let days = (u16::from(end) + 7 - u16::try_from(begin).unwrap_or(0)) % 7;
    match days {
        0 if to == from => Err(
            "the window is empty or a whole week; for what always runs write `00:00-24:00`"
                .to_owned(),
        ),
        0 if to < from => Ok(7),
        days => Ok(days),
    }
}

fn optional<T>(
    text: Option<&str>,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Result<Option<T>, String> {
    text.map(parse).transpose()
}

/// Removes all white space.
fn tight(text: &str) -> String {
    text.split_whitespace().collect()
}

/// Parses a time of day; returns minutes after midnight, 0–1440.
fn time_of_day(text: &str) -> Result<u16, String> {
    let text = text.trim();
    let refuse =
        || format!("`{text}` is not a time of day; write `00:00`–`24:00`, hours and minutes");
    let (hour, minute) = text.split_once(':').ok_or_else(refuse)?;
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if !(1..=2).contains(&hour.len()) || minute.len() != 2 || !digits(hour) || !digits(minute) {
        return Err(refuse());
    }
    let hour: u16 = hour.parse().map_err(|_| refuse())?;
    let minute: u16 = minute.parse().map_err(|_| refuse())?;
    if minute > 59 || hour * 60 + minute > DAY {
        return Err(refuse());
    }
    Ok(hour * 60 + minute)
}

impl FromStr for Window {
    type Err = String;

    /// Parses a line with exactly one window; the error is one sentence.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut windows = Self::parse_line(text)?;
        match (windows.pop(), windows.is_empty()) {
            (Some(window), true) => Ok(window),
            _ => Err(format!("`{text}` is more than one window")),
        }
    }
}

impl fmt::Display for Window {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.weekdays {
            Some(weekdays) if weekdays.starts_with_star() => {
                formatter.write_str("days=")?;
                weekdays.write_capitalised(formatter)?;
                formatter.write_str(" ")?;
            }
            Some(weekdays) => {
                weekdays.write_capitalised(formatter)?;
                formatter.write_str(" ")?;
            }
            None => {}
        }
        if let Some(dates) = &self.dates {
            write!(formatter, "dates={dates} ")?;
        }
        if let Some(months) = &self.months {
            formatter.write_str("months=")?;
            months.write(formatter, |month, formatter| {
                let (initial, rest) = field::month_name(month).split_at(1);
                write!(formatter, "{initial}{}", rest.to_ascii_lowercase())
            })?;
            formatter.write_str(" ")?;
        }
        write!(formatter, "{}-", TimeOfDay(self.from))?;
        let (days, time) = self.end();
        // If the window ends within a day after its beginning, the time alone determines the day.
        if self.to - self.from >= DAY && self.to != DAY {
            let begin = self.weekdays.as_ref().map_or(0, Weekdays::widest);
            let end = (u16::try_from(begin.trailing_zeros()).unwrap_or(0) + days) % 7;
            days::write_capitalised(end, formatter)?;
            formatter.write_str(" ")?;
        }
        write!(formatter, "{}", TimeOfDay(time))
    }
}

/// Minutes after midnight, displayed as `08:00`.
pub(super) struct TimeOfDay(pub(super) u16);

impl fmt::Display for TimeOfDay {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:02}:{:02}", self.0 / 60, self.0 % 60)
    }
}
