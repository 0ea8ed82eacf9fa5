//! Windows: days and two times of day. Their long form (days, dates, months, from, to) and their one-line form.

use std::fmt;
use std::str::FromStr;

use super::calendar::{DAY, Days, Month, Wall};
use super::days::{Dialect, MonthDays, Weekdays};
use super::field::{self, MONTH, Numbers};

/// Running time: `from`–`to` on some days, half-open (`to` itself is outside).
///
/// Days of the week, days of the month and months combine with *and*; one that isn't given allows every day. A window
/// whose `to` is not after its `from` ends on the next day. Without times it is the whole day; without `from` it begins
/// at 00:00, without `to` it ends at 24:00. It belongs to the day on which it begins.
///
/// In one line: `Mon-Fri 08:00-20:00`, `Mon#1 months=Jan-Jun 22:00-06:00`, `dates=1-7,L`.
///
/// ```
/// use curfew_core::timetable::Window;
///
/// let window: Window = "monday-FRI 8:00-20:00".parse().unwrap();
/// assert_eq!(window.to_string(), "Mon-Fri 08:00-20:00");
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
    /// Minutes after midnight of the day it begins on: after `from`, and at most a day after it.
    to: u16,
}

/// A window's parts as text; every one may be missing.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Parts<'t> {
    pub(super) days: Option<&'t str>,
    pub(super) dates: Option<&'t str>,
    pub(super) months: Option<&'t str>,
    pub(super) from: Option<&'t str>,
    pub(super) to: Option<&'t str>,
}

impl Window {
    /// Reads the parts, and says for each wrong one its name and what is wrong.
    pub(super) fn from_parts(parts: Parts<'_>) -> Result<Self, Vec<(&'static str, String)>> {
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
        let to = optional(parts.to, time_of_day).unwrap_or_else(|problem| {
            keep("to", problem);
            None
        });
        let (from, to) = (from.unwrap_or(0), to.unwrap_or(DAY));
        if from == DAY {
            keep(
                "from",
                "`24:00` is the end of a day; a window begins at `00:00`–`23:59`".to_owned(),
            );
        }
        if from == to && from != DAY {
            let time = Clock(from);
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
            to: if to > from { to } else { to + DAY },
        })
    }

    /// Several windows in one line: as a single one, but with several times, `08:00-12:00,13:00-17:00`.
    pub(super) fn parse_line(text: &str) -> Result<Vec<Self>, String> {
        let spaced = text
            .replace(" - ", "-")
            .replace(", ", ",")
            .replace(" ,", ",");
        let mut parts = Parts::default();
        let mut times = None;
        for word in spaced.split_whitespace() {
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
                window(Parts {
                    from: Some(from).filter(|from| !from.is_empty()),
                    to: Some(to).filter(|to| !to.is_empty()),
                    ..parts
                })
            })
            .collect()
    }

    /// The days of `month` on which it begins.
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

    /// Minutes after midnight at which it begins.
    pub(super) fn from(&self) -> u16 {
        self.from
    }

    /// Minutes after the same midnight at which it ends; more than a day's for a window that ends on the next day.
    pub(super) fn to(&self) -> u16 {
        self.to
    }

    pub(super) fn weekdays(&self) -> Option<&Weekdays> {
        self.weekdays.as_ref().filter(|days| !days.is_every())
    }

    pub(super) fn dates(&self) -> Option<&MonthDays> {
        self.dates.as_ref().filter(|dates| !dates.is_every())
    }

    /// Months as bits from 1 on.
    pub(super) fn months(&self) -> u64 {
        self.month_bits
    }

    /// Whether `wall` is inside, dates of exception left aside.
    pub(super) fn contains(&self, wall: Wall) -> bool {
        let begins_on =
            |date| self.days(Month::of(date)) & super::calendar::day_bit(date.day()) != 0;
        (begins_on(wall.date) && (self.from..self.to).contains(&wall.minute))
            || (wall.minute + DAY < self.to && wall.date.yesterday().is_ok_and(begins_on))
    }
}

fn optional<T>(
    text: Option<&str>,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Result<Option<T>, String> {
    text.map(parse).transpose()
}

/// Without spaces around commas and dashes.
fn tight(text: &str) -> String {
    text.split_whitespace().collect()
}

/// Minutes after midnight, 0–1440.
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

    /// One sentence says what is wrong.
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
        let to = if self.to > DAY {
            self.to - DAY
        } else {
            self.to
        };
        write!(formatter, "{}-{}", Clock(self.from), Clock(to))
    }
}

/// Minutes after midnight as `08:00`.
pub(super) struct Clock(pub(super) u16);

impl fmt::Display for Clock {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:02}:{:02}", self.0 / 60, self.0 % 60)
    }
}
