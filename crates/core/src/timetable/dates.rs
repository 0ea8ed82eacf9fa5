//! The date rules of `except` and `only`: dates, ranges of dates, and dates that recur every year.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use jiff::ToSpan as _;
use jiff::civil::Date;

use super::calendar::{DateBounds, Days, FIRST_YEAR, LAST_YEAR, Month, day_range};

/// A date, a range of dates, or a date or range that recurs every year, in the schedule's time zone.
///
/// `2026-05-01`, `2026-05-01..2026-05-03`, `12-25`, `12-24..01-02` (ranges include both ends; a yearly one may cross the
/// new year). `02-29` recurs in leap years.
///
/// ```
/// use curfew_core::timetable::DateRule;
///
/// assert_eq!("12-24..01-02".parse::<DateRule>().unwrap().to_string(), "12-24..01-02");
/// assert!("2026-02-30".parse::<DateRule>().unwrap_err().contains("has no such day"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DateRule(Rule);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Rule {
    Once { first: Date, last: Date },
    Yearly { first: DayOfYear, last: DayOfYear },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct DayOfYear {
    month: i8,
    day: i8,
}

impl From<Date> for DateRule {
    /// Makes a rule for a single date.
    fn from(date: Date) -> Self {
        Self(Rule::Once {
            first: date,
            last: date,
        })
    }
}

impl DateRule {
    /// Returns the days of `month` that the rule contains.
    pub(super) fn of(&self, month: Month) -> Days {
        match &self.0 {
            Rule::Once { first, last } => {
                let place =
                    |date: &Date| (date.year(), date.month()).cmp(&(month.year, month.number));
                let from = match place(first) {
                    Ordering::Less => 1,
                    Ordering::Equal => first.day(),
                    Ordering::Greater => return 0,
                };
                match place(last) {
                    Ordering::Less => 0,
                    Ordering::Equal => day_range(from, last.day()),
                    Ordering::Greater => day_range(from, month.length),
                }
            }
            Rule::Yearly { first, last } => {
                let until = |last: &DayOfYear| match month.number.cmp(&last.month) {
                    Ordering::Less => month.all(),
                    Ordering::Equal => day_range(1, last.day),
                    Ordering::Greater => 0,
                };
                let from = |first: &DayOfYear| match month.number.cmp(&first.month) {
                    Ordering::Less => 0,
                    Ordering::Equal => day_range(first.day, 31),
                    Ordering::Greater => month.all(),
                };
                let days = if first <= last {
                    from(first) & until(last)
                } else {
                    from(first) | until(last)
                };
                days & month.all()
            }
        }
    }
}

impl FromStr for DateRule {
    type Err = String;

    /// Parses a date or a range; the error is one sentence about the first problem.
    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let (first, last) = text
            .split_once("..")
            .map_or((text, text), |(first, last)| (first.trim(), last.trim()));
        match (ParsedDate::parse(first)?, ParsedDate::parse(last)?) {
            (ParsedDate::Full(first), ParsedDate::Full(last)) if last < first => Err(format!(
                "`{text}` runs backward; write the earlier date first"
            )),
            (ParsedDate::Full(first), ParsedDate::Full(last)) => {
                Ok(Self(Rule::Once { first, last }))
            }
            (ParsedDate::Yearly(first), ParsedDate::Yearly(last)) => {
                Ok(Self(Rule::Yearly { first, last }))
            }
            _ => Err(format!(
                "`{text}` has a year on one side only; write both, or neither for every year"
            )),
        }
    }
}

enum ParsedDate {
    Full(Date),
    Yearly(DayOfYear),
}

impl ParsedDate {
    fn parse(text: &str) -> Result<Self, String> {
        let refuse = || {
            format!(
                "`{text}` is not a date; write `2026-05-01`, `12-25` for every year, or a range such as `2026-05-01..2026-05-03`"
            )
        };
        let impossible = || format!("`{text}`: that month has no such day");
        let parts = text
            .split('-')
            .map(|part| {
                let digits =
                    matches!(part.len(), 2 | 4) && part.bytes().all(|byte| byte.is_ascii_digit());
                digits
                    .then(|| part.parse::<i16>().ok())
                    .flatten()
                    .map(|number| (part.len(), number))
            })
            .collect::<Option<Vec<_>>>()
            .ok_or_else(refuse)?;
        let small = |number: i16| i8::try_from(number).map_err(|_| refuse());
        match parts[..] {
            [(4, year), (2, month), (2, day)] => {
                if !(FIRST_YEAR..=LAST_YEAR).contains(&year) {
                    return Err(format!(
                        "`{text}`: years {FIRST_YEAR}–{LAST_YEAR} are allowed"
                    ));
                }
                Date::new(year, small(month)?, small(day)?)
                    .map(Self::Full)
                    .map_err(|_| impossible())
            }
            [(2, month), (2, day)] => {
                let (month, day) = (small(month)?, small(day)?);
                // 2000 is a leap year, so that `02-29` is valid.
                Date::new(2000, month, day).map_err(|_| impossible())?;
                Ok(Self::Yearly(DayOfYear { month, day }))
            }
            _ => Err(refuse()),
        }
    }
}

impl fmt::Display for DayOfYear {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:02}-{:02}", self.month, self.day)
    }
}

impl fmt::Display for DateRule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Rule::Once { first, last } if first == last => write!(formatter, "{first}"),
            Rule::Once { first, last } => write!(formatter, "{first}..{last}"),
            Rule::Yearly { first, last } if first == last => write!(formatter, "{first}"),
            Rule::Yearly { first, last } => write!(formatter, "{first}..{last}"),
        }
    }
}

/// The union of several date rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct DateSet(Vec<DateRule>);

impl DateSet {
    pub(super) fn new(rules: Vec<DateRule>) -> Self {
        Self(rules)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the bounds of the edges if only these dates may have starts. They end eight days after the last date, since a
    /// window may end up to a week later. An empty set and a yearly rule have no bounds of their own.
    pub(super) fn bounds(&self) -> DateBounds {
        let mut bounds: Option<DateBounds> = None;
        for rule in &self.0 {
            let Rule::Once { first, last } = rule.0 else {
                return DateBounds::ALL;
            };
            let before = bounds.unwrap_or(DateBounds { first, last });
            bounds = Some(DateBounds {
                first: first.min(before.first),
                last: last.max(before.last),
            });
        }
        bounds.map_or(DateBounds::ALL, |bounds| DateBounds {
            last: bounds
                .last
                .saturating_add(8.days())
                .min(DateBounds::ALL.last),
            ..bounds
        })
    }

    /// Returns the days of `month` that any of the rules contains.
    pub(super) fn of(&self, month: Month) -> Days {
        self.0.iter().fold(0, |days, rule| days | rule.of(month))
    }

    /// Returns the first rule that contains `date`.
    pub(super) fn naming(&self, date: Date) -> Option<&DateRule> {
        let month = Month::of(date);
        self.0
            .iter()
            .find(|rule| rule.of(month) & super::calendar::day_bit(date.day()) != 0)
    }
}

impl fmt::Display for DateSet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        super::field::write_list(formatter, &self.0, |rule, formatter| {
            write!(formatter, "{rule}")
        })
    }
}
