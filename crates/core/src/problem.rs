//! A problem in the configuration or in a schedule tag: its place, and one sentence with the value found and what is allowed.

use std::fmt;

/// One problem in the configuration or in an inline schedule.
///
/// Problems are collected rather than returned one at a time, so that a file can be corrected in one step.
///
/// ```
/// use curfew_core::timetable::Timetable;
///
/// let problems = Timetable::parse_inline("Mon-Fri 08:00-20:00 Europe/Pariss").unwrap_err();
/// assert_eq!(
///     problems[0].to_string(),
///     "`inline.timezone`: `Europe/Pariss` is not an IANA time zone; did you mean `Europe/Paris`?",
/// );
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Problem {
    /// The place: a dotted path such as `schedules.office.timezone`. The items of a list have their index, `….except[2]`. For an
    /// inline schedule the path starts with `inline`.
    pub key: String,
    /// The value found, the values allowed, and a hint, with values in backticks.
    pub message: String,
}

impl Problem {
    /// Makes a problem at `key`.
    pub fn new(key: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            message: message.into(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "`{}`: {}", self.key, self.message)
    }
}

impl std::error::Error for Problem {}
