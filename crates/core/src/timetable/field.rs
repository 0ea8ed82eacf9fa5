//! The syntax of one field of a cron, or one list of a window: numbers, names, ranges, steps. The modules that use it define
//! what the numbers mean.

use std::fmt;

/// The name of a field and the values that it allows.
#[derive(Debug)]
pub(super) struct FieldSpec {
    /// The field's name in messages.
    pub(super) name: &'static str,
    pub(super) min: u16,
    pub(super) max: u16,
    /// Names for the numbers from `first_named` on, in upper case.
    pub(super) names: &'static [&'static str],
    pub(super) first_named: u16,
}

const MONTH_NAMES: [&str; 12] = [
    "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
];

/// Three-letter names of the weekdays from Sunday on.
pub(super) const WEEKDAY_NAMES: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

pub(super) const MINUTE: FieldSpec = FieldSpec::numbers("minute", 0, 59);
pub(super) const HOUR: FieldSpec = FieldSpec::numbers("hour", 0, 23);
pub(super) const DAY_OF_MONTH: FieldSpec = FieldSpec::numbers("day of the month", 1, 31);
pub(super) const YEAR: FieldSpec = FieldSpec::numbers("year", 1970, 2199);
pub(super) const MONTH: FieldSpec = FieldSpec {
    name: "month",
    min: 1,
    max: 12,
    names: &MONTH_NAMES,
    first_named: 1,
};
/// Weekdays as Unix numbers them: 0 and 7 are Sunday.
pub(super) const UNIX_WEEKDAY: FieldSpec = FieldSpec {
    name: "day of the week",
    min: 0,
    max: 7,
    names: &WEEKDAY_NAMES,
    first_named: 0,
};
/// Weekdays as AWS numbers them: 1 is Sunday.
pub(super) const AWS_WEEKDAY: FieldSpec = FieldSpec {
    name: "day of the week",
    min: 1,
    max: 7,
    names: &WEEKDAY_NAMES,
    first_named: 1,
};

impl FieldSpec {
    const fn numbers(name: &'static str, min: u16, max: u16) -> Self {
        Self {
            name,
            min,
            max,
            names: &[],
            first_named: 0,
        }
    }

    /// Parses a number or a name of this field. Names may be in any case, and abbreviated or in full.
    pub(super) fn value(&self, text: &str) -> Result<u16, String> {
        if text.is_empty() {
            return Err(format!("a {} is missing", self.name));
        }
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            return text
                .parse()
                .ok()
                .filter(|value| (self.min..=self.max).contains(value))
                .ok_or_else(|| {
                    format!(
                        "`{text}` is out of range for the {}: {}",
                        self.name,
                        self.allowed()
                    )
                });
        }
        (self.first_named..)
            .zip(self.names)
            .find(|(_, name)| is_name(text, name))
            .map(|(value, _)| value)
            .ok_or_else(|| format!("`{text}` is not a {}: {}", self.name, self.allowed()))
    }

    fn allowed(&self) -> String {
        match (self.names.first(), self.names.last()) {
            (Some(first), Some(last)) => {
                format!("{}–{} or {first}–{last} are allowed", self.min, self.max)
            }
            _ => format!("{}–{} are allowed", self.min, self.max),
        }
    }
}

/// The names of months and weekdays in full.
const LONG_NAMES: [&str; 19] = [
    "JANUARY",
    "FEBRUARY",
    "MARCH",
    "APRIL",
    "MAY",
    "JUNE",
    "JULY",
    "AUGUST",
    "SEPTEMBER",
    "OCTOBER",
    "NOVEMBER",
    "DECEMBER",
    "SUNDAY",
    "MONDAY",
    "TUESDAY",
    "WEDNESDAY",
    "THURSDAY",
    "FRIDAY",
    "SATURDAY",
];

/// Returns whether `text` is `short` (three letters, upper case) or the English word that it abbreviates.
pub(super) fn is_name(text: &str, short: &str) -> bool {
    text.eq_ignore_ascii_case(short) || text.eq_ignore_ascii_case(long_name(short))
}

/// Returns the English word that `short` abbreviates.
pub(super) fn long_name(short: &str) -> &'static str {
    let mut names = LONG_NAMES.into_iter();
    names
        .find(|long| long.starts_with(short))
        .unwrap_or_default()
}

/// One item of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Item {
    /// `*`, or with a step `*/2`.
    Every {
        step: u16,
    },
    One(u16),
    /// `5/15`: from 5 to the field's end.
    From {
        first: u16,
        step: u16,
    },
    /// `1-5`, `1-10/3`, and `FRI-MON`, which wraps around.
    Range {
        first: u16,
        last: u16,
        step: u16,
    },
}

impl Item {
    /// Parses one item of a list for a field of this kind.
    pub(super) fn parse(text: &str, kind: &FieldSpec) -> Result<Self, String> {
        let (range, step) = match text.split_once('/') {
            Some((range, step)) => (range, Some(parse_step(step, text, kind)?)),
            None => (text, None),
        };
        if range == "*" {
            return Ok(Self::Every {
                step: step.unwrap_or(1),
            });
        }
        if let Some((first, last)) = range.split_once('-') {
            return Ok(Self::Range {
                first: kind.value(first)?,
                last: kind.value(last)?,
                step: step.unwrap_or(1),
            });
        }
        let first = kind.value(range)?;
        Ok(step.map_or(Self::One(first), |step| Self::From { first, step }))
    }

    /// Returns the numbers that the item contains, in the order in which they are written.
    pub(super) fn values(self, kind: &FieldSpec) -> impl Iterator<Item = u16> {
        let (first, last, step) = match self {
            Self::Every { step } => (kind.min, kind.max, step),
            Self::One(value) => (value, value, 1),
            Self::From { first, step } => (first, kind.max, step),
            Self::Range { first, last, step } => (first, last, step),
        };
        let size = kind.max - kind.min + 1;
        let wraps = last < first;
        let length = if wraps {
            last + size - first
        } else {
            last - first
        };
        let (min, max) = (kind.min, kind.max);
        (0..=length)
            .step_by(usize::from(step))
            .map(move |distance| {
                let value = first + distance;
                if value > max {
                    value - max - 1 + min
                } else {
                    value
                }
            })
    }

    /// Writes the item; `name` writes each number.
    pub(super) fn write(
        self,
        formatter: &mut fmt::Formatter<'_>,
        name: impl Fn(u16, &mut fmt::Formatter<'_>) -> fmt::Result,
    ) -> fmt::Result {
        let step = match self {
            Self::Every { step } => {
                formatter.write_str("*")?;
                step
            }
            Self::One(value) => return name(value, formatter),
            Self::From { first, step } => {
                name(first, formatter)?;
                return write!(formatter, "/{step}");
            }
            Self::Range { first, last, step } => {
                name(first, formatter)?;
                formatter.write_str("-")?;
                name(last, formatter)?;
                step
            }
        };
        if step == 1 {
            Ok(())
        } else {
            write!(formatter, "/{step}")
        }
    }
}

fn parse_step(step: &str, text: &str, kind: &FieldSpec) -> Result<u16, String> {
    let largest = kind.max - kind.min;
    step.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| step.parse().ok())
        .flatten()
        .filter(|step| (1..=largest).contains(step))
        .ok_or_else(|| {
            format!(
                "`{step}` in `{text}` is not a step for the {}: 1–{largest} are allowed",
                kind.name
            )
        })
}

/// A list of numbers in one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Numbers(Vec<Item>);

impl Numbers {
    pub(super) fn parse(text: &str, kind: &FieldSpec) -> Result<Self, String> {
        text.split(',')
            .map(|item| Item::parse(item, kind))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    pub(super) fn every() -> Self {
        Self(vec![Item::Every { step: 1 }])
    }

    pub(super) fn is_every(&self) -> bool {
        self.0.contains(&Item::Every { step: 1 })
    }

    pub(super) fn values(&self, kind: &FieldSpec) -> impl Iterator<Item = u16> {
        self.0.iter().flat_map(move |item| item.values(kind))
    }

    /// Returns the numbers as a bit set, for fields with numbers below 64.
    pub(super) fn bits(&self, kind: &FieldSpec) -> u64 {
        self.values(kind).fold(0, |bits, value| bits | 1 << value)
    }

    /// Writes the list; `name` writes each number.
    pub(super) fn write(
        &self,
        formatter: &mut fmt::Formatter<'_>,
        name: impl Fn(u16, &mut fmt::Formatter<'_>) -> fmt::Result + Copy,
    ) -> fmt::Result {
        write_list(formatter, &self.0, |item, formatter| {
            item.write(formatter, name)
        })
    }
}

impl fmt::Display for Numbers {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(formatter, |value, formatter| write!(formatter, "{value}"))
    }
}

/// Writes `items` with commas between them.
pub(super) fn write_list<T>(
    formatter: &mut fmt::Formatter<'_>,
    items: &[T],
    write: impl Fn(&T, &mut fmt::Formatter<'_>) -> fmt::Result,
) -> fmt::Result {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            formatter.write_str(",")?;
        }
        write(item, formatter)?;
    }
    Ok(())
}

/// Returns the three-letter name of a month, 1–12.
pub(super) fn month_name(month: u16) -> &'static str {
    MONTH_NAMES[usize::from((month + 11) % 12)]
}
