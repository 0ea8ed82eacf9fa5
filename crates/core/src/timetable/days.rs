//! Lists of days of the month and days of the week, with `L`, `W` and `#`, and the days of a given month that they contain.
//!
//! The special characters are defined in "Cron expressions reference" in the
//! [`EventBridge` user guide](https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-cron-expressions.html). `W`
//! never leaves its month, as in Quartz, the origin of AWS's syntax.

use std::fmt;

use super::calendar::{Days, Month, day_bit};
use super::field::{
    self, AWS_WEEKDAY, DAY_OF_MONTH, FieldSpec, Item, UNIX_WEEKDAY, WEEKDAY_NAMES, write_list,
};

/// The syntax of a list: the special characters that it allows, and how it numbers weekdays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// Five-field cron: no special characters, 0 and 7 are Sunday.
    Unix,
    /// AWS: special characters, 1 is Sunday.
    Aws,
    /// A window's lists: special characters, weekdays by name only.
    Window,
}

/// A list of days of the month: `1-7,L`, `15W`, `*/2`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MonthDays {
    items: Vec<MonthDay>,
    /// The numbers among the items, as bits.
    numbers: Days,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum MonthDay {
    Numbers(Item),
    Last,
    /// `LW`: the last Monday-to-Friday day.
    LastWorkday,
    /// `15W`: the Monday-to-Friday day nearest to the 15th, in the same month.
    Nearest(i8),
}

impl MonthDays {
    pub(super) fn parse(text: &str, dialect: Dialect) -> Result<Self, String> {
        let items = text
            .split(',')
            .map(|item| MonthDay::parse(item, dialect))
            .collect::<Result<Vec<_>, _>>()?;
        let numbers = items.iter().fold(0, |bits, item| match item {
            MonthDay::Numbers(numbers) => numbers
                .values(&DAY_OF_MONTH)
                .fold(bits, |bits, day| bits | 1 << day),
            _ => bits,
        });
        Ok(Self { items, numbers })
    }

    pub(super) fn starts_with_star(&self) -> bool {
        matches!(
            self.items.first(),
            Some(MonthDay::Numbers(Item::Every { .. }))
        )
    }

    pub(super) fn is_every(&self) -> bool {
        self.items
            .contains(&MonthDay::Numbers(Item::Every { step: 1 }))
    }

    /// Returns the days of `month` that the list contains.
    pub(super) fn of(&self, month: Month) -> Days {
        let last = if self.items.contains(&MonthDay::Last) {
            day_bit(month.length)
        } else {
            0
        };
        (self.numbers | last | self.workdays(month)) & month.all()
    }

    /// Returns the days of `month` that the list contains as working days, by `LW` or `15W`.
    pub(super) fn workdays(&self, month: Month) -> Days {
        self.items.iter().fold(0, |bits, item| {
            bits | match *item {
                MonthDay::Numbers(_) | MonthDay::Last => 0,
                MonthDay::LastWorkday => nearest_workday(month, month.length),
                MonthDay::Nearest(day) => nearest_workday(month, day),
            }
        })
    }

    /// Returns every day that the list can contain in any month: a superset, for the UTC rules.
    pub(super) fn widest(&self) -> Days {
        let range = super::calendar::day_range;
        self.items.iter().fold(self.numbers, |bits, item| {
            bits | match *item {
                MonthDay::Numbers(_) => 0,
                MonthDay::Last => range(28, 31),
                MonthDay::LastWorkday => range(26, 31),
                MonthDay::Nearest(1) => range(1, 3),
                // If the last day of a month is a Sunday, the nearest working day is two days before.
                MonthDay::Nearest(day) if day >= 28 => range(day - 2, 31),
                MonthDay::Nearest(day) => range(day - 1, day + 1),
            }
        })
    }
}

impl MonthDay {
    fn parse(text: &str, dialect: Dialect) -> Result<Self, String> {
        let upper = text.to_ascii_uppercase();
        if upper.contains(['L', 'W']) && dialect == Dialect::Unix {
            return Err(aws_only(text));
        }
        match upper.as_str() {
            "L" => return Ok(Self::Last),
            "LW" => return Ok(Self::LastWorkday),
            _ => {}
        }
        if upper.starts_with("L-") {
            return Err(format!(
                "`{text}` (days before the last one) is not something EventBridge documents; `L` and `LW` are"
            ));
        }
        if let Some(day) = upper.strip_suffix('W') {
            return DAY_OF_MONTH
                .value(day)
                .and_then(|day| i8::try_from(day).map_err(|_| String::new()))
                .map(Self::Nearest)
                .map_err(|_| format!("`{text}` needs one day before the `W`, 1–31, as in `15W`"));
        }
        Item::parse(&upper, &DAY_OF_MONTH).map(Self::Numbers)
    }
}

impl fmt::Display for MonthDays {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_list(formatter, &self.items, |item, formatter| match item {
            MonthDay::Numbers(numbers) => {
                numbers.write(formatter, |day, formatter| write!(formatter, "{day}"))
            }
            MonthDay::Last => formatter.write_str("L"),
            MonthDay::LastWorkday => formatter.write_str("LW"),
            MonthDay::Nearest(day) => write!(formatter, "{day}W"),
        })
    }
}

/// Returns the Monday-to-Friday day of `month` that is nearest to `day`; no bit when the month does not have `day`.
fn nearest_workday(month: Month, day: i8) -> Days {
    if day > month.length {
        return 0;
    }
    day_bit(match month.weekday(day) {
        6 if day > 1 => day - 1,
        6 => day + 2,
        0 if day < month.length => day + 1,
        0 => day - 2,
        _ => day,
    })
}

/// A list of days of the week: `MON-FRI`, `MON#1`, `FRIL`. Numbers are 0–6 from Sunday, independent of the dialect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Weekdays {
    items: Vec<Weekday>,
    /// The plain weekdays among the items: bit 0 is Sunday.
    plain: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Weekday {
    Plain(Item),
    /// `MON#1`: the first Monday of the month. A month without a fifth such weekday has no match for `#5`.
    Nth {
        weekday: u8,
        nth: i8,
    },
    /// `FRIL`: the last Friday of the month.
    Last(u8),
}

/// Weekdays as [`Weekdays`] stores them: 0–6 from Sunday.
const WEEKDAY: FieldSpec = FieldSpec {
    name: "day of the week",
    min: 0,
    max: 6,
    names: &WEEKDAY_NAMES,
    first_named: 0,
};

impl Weekdays {
    pub(super) fn parse(text: &str, dialect: Dialect) -> Result<Self, String> {
        let items = text
            .split(',')
            .map(|item| Weekday::parse(item, dialect))
            .collect::<Result<Vec<_>, _>>()?;
        if dialect == Dialect::Aws
            && items.len() > 1
            && items.iter().any(|item| matches!(item, Weekday::Nth { .. }))
        {
            return Err(format!(
                "`{text}` uses `#` in a list; EventBridge takes a single expression with `#`: write one cron for each"
            ));
        }
        let plain = items.iter().fold(0, |bits, item| match item {
            Weekday::Plain(days) => days
                .values(&WEEKDAY)
                .fold(bits, |bits, weekday| bits | 1 << weekday),
            _ => bits,
        });
        Ok(Self { items, plain })
    }

    pub(super) fn starts_with_star(&self) -> bool {
        matches!(self.items.first(), Some(Weekday::Plain(Item::Every { .. })))
    }

    pub(super) fn is_every(&self) -> bool {
        self.items
            .contains(&Weekday::Plain(Item::Every { step: 1 }))
    }

    /// Returns the days of `month` that the list contains.
    pub(super) fn of(&self, month: Month) -> Days {
        let plain = month.on_weekdays(self.plain);
        self.items.iter().fold(plain, |bits, item| {
            bits | match *item {
                Weekday::Plain(_) => 0,
                Weekday::Nth { weekday, nth } => {
                    month.on_weekdays(1 << weekday)
                        & super::calendar::day_range(7 * nth - 6, 7 * nth)
                }
                Weekday::Last(weekday) => {
                    month.on_weekdays(1 << weekday)
                        & super::calendar::day_range(month.length - 6, month.length)
                }
            }
        })
    }

    /// Returns every weekday that the list can contain in any week, bit 0 = Sunday: a superset, for the UTC rules.
    pub(super) fn widest(&self) -> u8 {
        self.items.iter().fold(self.plain, |bits, item| {
            bits | match *item {
                Weekday::Plain(_) => 0,
                Weekday::Nth { weekday, .. } | Weekday::Last(weekday) => 1 << weekday,
            }
        })
    }

    /// Writes the list with the names capitalised as in `Mon-Fri`.
    pub(super) fn write_capitalised(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(formatter, write_capitalised)
    }

    fn write(
        &self,
        formatter: &mut fmt::Formatter<'_>,
        name: impl Fn(u16, &mut fmt::Formatter<'_>) -> fmt::Result + Copy,
    ) -> fmt::Result {
        write_list(formatter, &self.items, |item, formatter| match *item {
            Weekday::Plain(days) => days.write(formatter, name),
            Weekday::Nth { weekday, nth } => {
                name(weekday.into(), formatter)?;
                write!(formatter, "#{nth}")
            }
            Weekday::Last(weekday) => {
                name(weekday.into(), formatter)?;
                formatter.write_str("L")
            }
        })
    }
}

impl Weekday {
    fn parse(text: &str, dialect: Dialect) -> Result<Self, String> {
        if let Some((weekday, nth)) = text.split_once('#') {
            if dialect == Dialect::Unix {
                return Err(aws_only(text));
            }
            let nth = match nth {
                "1" => 1,
                "2" => 2,
                "3" => 3,
                "4" => 4,
                "5" => 5,
                _ => {
                    return Err(format!(
                        "`{text}` needs 1–5 after the `#`: which one of the month"
                    ));
                }
            };
            return Ok(Self::Nth {
                weekday: one_weekday(weekday, dialect)?,
                nth,
            });
        }
        if let Some(weekday) = text.strip_suffix(['L', 'l']) {
            if dialect == Dialect::Unix {
                return Err(aws_only(text));
            }
            if weekday.is_empty() {
                return if dialect == Dialect::Aws {
                    // In AWS's syntax the last day of the week is Saturday.
                    Ok(Self::Plain(Item::One(6)))
                } else {
                    Err("`L` alone names no day of the week; write `FriL` for the last Friday, or `dates = \"L\"`".into())
                };
            }
            return one_weekday(weekday, dialect).map(Self::Last);
        }
        let item = match dialect {
            Dialect::Unix => from_unix(Item::parse(text, &UNIX_WEEKDAY)?),
            Dialect::Aws => from_aws(Item::parse(text, &AWS_WEEKDAY)?),
            Dialect::Window => {
                refuse_numbers(text.split('/').next().unwrap_or(text))?;
                Item::parse(text, &WEEKDAY).map_err(|_| not_a_weekday(text))?
            }
        };
        Ok(Self::Plain(item))
    }
}

/// Parses one day of the week, by name or, in AWS's dialect, by number. Returns 0 for Sunday.
pub(super) fn one_weekday(text: &str, dialect: Dialect) -> Result<u8, String> {
    let number = if dialect == Dialect::Aws {
        AWS_WEEKDAY.value(text)? - 1
    } else {
        refuse_numbers(text)?;
        WEEKDAY.value(text).map_err(|_| not_a_weekday(text))?
    };
    u8::try_from(number).map_err(|_| format!("`{text}` is not a day of the week"))
}

fn not_a_weekday(text: &str) -> String {
    format!(
        "`{text}` is not a day of the week; write `Mon`–`Sun`, as in `Mon-Fri`, `Sat,Sun`, `Mon#1` or `FriL`"
    )
}

fn refuse_numbers(text: &str) -> Result<(), String> {
    if text.contains(|character: char| character.is_ascii_digit()) {
        return Err(format!(
            "`{text}` numbers a day of the week, which Unix and AWS count differently; write `Mon`–`Sun`"
        ));
    }
    Ok(())
}

/// Converts an item from Unix numbers, in which 0 and 7 are Sunday.
fn from_unix(item: Item) -> Item {
    match item {
        Item::One(weekday) => Item::One(weekday % 7),
        Item::From { first: 7, .. } => Item::One(0),
        Item::Range { first, last, step } if first < 7 && last == 7 && first == 0 => Item::Range {
            first,
            last: 6,
            step,
        },
        Item::Range { first, last, step } => Item::Range {
            first: first % 7,
            last: last % 7,
            step,
        },
        Item::Every { .. } | Item::From { .. } => item,
    }
}

fn from_aws(item: Item) -> Item {
    match item {
        Item::Every { .. } => item,
        Item::One(weekday) => Item::One(weekday - 1),
        Item::From { first, step } => Item::From {
            first: first - 1,
            step,
        },
        Item::Range { first, last, step } => Item::Range {
            first: first - 1,
            last: last - 1,
            step,
        },
    }
}

fn aws_only(text: &str) -> String {
    format!(
        "`{text}` uses a special character that five-field cron does not have; \
         write AWS's six fields, as in `cron(0 20 L * ? *)`"
    )
}

impl fmt::Display for Weekdays {
    /// Writes the names in upper case, as in `MON-FRI`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(formatter, |weekday, formatter| {
            formatter.write_str(weekday_name(weekday))
        })
    }
}

/// Writes a day of the week (0 is Sunday) as in `Mon`.
pub(super) fn write_capitalised(weekday: u16, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
    let (initial, rest) = weekday_name(weekday).split_at(1);
    write!(formatter, "{initial}{}", rest.to_ascii_lowercase())
}

fn weekday_name(weekday: u16) -> &'static str {
    field::WEEKDAY_NAMES[usize::from(weekday % 7)]
}
