//! What is wrong with something a person wrote: the place, and one sentence that says what was found and what is allowed.

use std::fmt;

/// One thing that is wrong in the configuration or in an inline schedule.
///
/// Problems are collected, not thrown: someone who fixes a file wants to see all of them at once.
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
    /// Where: a dotted path such as `schedules.office.timezone`; a list's members carry their index, `….except[2]`.
    /// For an inline schedule the path starts with `inline`.
    pub key: String,
    /// What was found, what is allowed, and what to do about it, with values in backticks.
    pub message: String,
}

impl Problem {
    /// A problem at `key`.
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
