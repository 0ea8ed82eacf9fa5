//! AWS's rate expressions, such as `rate(5 minutes)`.

use std::fmt;
use std::str::FromStr;

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

/// A fixed interval in AWS's syntax: `rate(5 minutes)`, `rate(1 hour)`.
///
/// The syntax is defined in "Rate expressions" in the
/// [`EventBridge` user guide](https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rate-expressions.html): a
/// positive whole number and a unit, which is singular (`minute`, `hour`, `day`) for 1 and plural otherwise.
///
/// ```
/// use curfew_core::timetable::Rate;
///
/// let rate: Rate = "rate(5 minutes)".parse().unwrap();
/// assert_eq!(rate.duration(), jiff::SignedDuration::from_mins(5));
/// assert_eq!(rate.to_string(), "rate(5 minutes)");
///
/// assert!("rate(1 minutes)".parse::<Rate>().unwrap_err().contains("write `rate(1 minute)`"));
/// assert!("rate(0 hours)".parse::<Rate>().unwrap_err().contains("at least 1"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Rate {
    value: u32,
    unit: Unit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Unit {
    Minute,
    Hour,
    Day,
}

impl Unit {
    fn name(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
        }
    }

    fn minutes(self) -> i64 {
        match self {
            Self::Minute => 1,
            Self::Hour => 60,
            Self::Day => 24 * 60,
        }
    }
}

impl Rate {
    /// Returns the elapsed time between two firings; clock changes have no effect on it.
    pub fn duration(self) -> SignedDuration {
        SignedDuration::from_mins(i64::from(self.value) * self.unit.minutes())
    }
}

impl From<Rate> for SignedDuration {
    fn from(rate: Rate) -> Self {
        rate.duration()
    }
}

impl FromStr for Rate {
    type Err = String;

    /// Parses a rate expression; the error is one sentence about the first problem.
    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let inner = text
            .strip_prefix("rate(")
            .and_then(|rest| rest.strip_suffix(')'))
            .ok_or_else(|| format!("`{text}` is not a rate; write it like `rate(5 minutes)`"))?;
        let mut words = inner.split_whitespace();
        let (Some(number), Some(word), None) = (words.next(), words.next(), words.next()) else {
            return Err(format!(
                "`{text}` needs a number and a unit; write it like `rate(5 minutes)`"
            ));
        };
        let value = number
            .bytes()
            .all(|byte| byte.is_ascii_digit())
            .then(|| number.parse::<u32>().ok())
            .flatten()
            .ok_or_else(|| {
                format!("`{number}` in `{text}` is not a whole number that EventBridge takes")
            })?;
        if value == 0 {
            return Err(format!("`{text}` never fires; the number is at least 1"));
        }
        let unit = [Unit::Minute, Unit::Hour, Unit::Day]
            .into_iter()
            .find(|unit| word.strip_suffix('s').unwrap_or(word) == unit.name())
            .ok_or_else(|| {
                format!(
                    "`{word}` in `{text}` is not a unit; EventBridge takes minutes, hours and days"
                )
            })?;
        let rate = Self { value, unit };
        if word.ends_with('s') == (value == 1) {
            return Err(format!(
                "EventBridge refuses `{text}`: the unit is singular for 1 and plural otherwise; write `{rate}`"
            ));
        }
        Ok(rate)
    }
}

impl TryFrom<String> for Rate {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Rate> for String {
    fn from(rate: Rate) -> Self {
        rate.to_string()
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.value == 1 { "" } else { "s" };
        write!(
            formatter,
            "rate({} {}{plural})",
            self.value,
            self.unit.name()
        )
    }
}
