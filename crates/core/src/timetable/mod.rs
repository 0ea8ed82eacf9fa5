//! What a schedule says about time: its edges, and what it wants between them. No matching of instances, no policy.
//!
//! A [`Timetable`] is made from configuration ([`RawTimetable::resolve`]), from a tag's value
//! ([`Timetable::parse_inline`]), or from other timetables ([`Timetable::any_of`]), and answers four questions: when is the
//! next edge, when was the last one, what is wanted at an instant, and which UTC rules wake something up in time for every
//! edge.
//!
//! ```
//! use curfew_core::timetable::{Action, Desired, Timetable};
//!
//! let office = Timetable::parse_inline("Mon-Fri 08:00-20:00 Europe/Paris").unwrap();
//! let friday_evening = "2026-03-27T19:00:00Z".parse().unwrap(); // 20:00 in Paris
//! assert_eq!(office.desired(friday_evening), Desired::Stopped);
//!
//! // The clocks change on Sunday: 08:00 is an hour earlier in UTC.
//! let monday = office.next_edge(friday_evening).unwrap();
//! assert_eq!((monday.at.to_string().as_str(), monday.action), ("2026-03-30T06:00:00Z", Action::Start));
//! ```
//!
//! # Time
//!
//! Instants are [`jiff::Timestamp`]s; wall time never leaves this module. Edges lie in the years 1970–2199, AWS's
//! own range; before and after there are none, so every search ends.
//!
//! **Daylight saving:** an edge fires exactly once. A wall time that occurs twice fires the first time; one that the
//! clock jumps over (or that lies on a day that the zone skips) fires at the jump.
//!
//! ```
//! use curfew_core::timetable::{Edge, Timetable};
//!
//! let at = |edge: Option<Edge>| edge.unwrap().at.to_string();
//! // Paris jumps from 02:00 to 03:00 at 01:00 UTC, and shows 02:30 twice in October: at 00:30 and at 01:30 UTC.
//! let night = Timetable::parse_inline("stop 30 2 * * * Europe/Paris").unwrap();
//! assert_eq!(at(night.next_edge("2026-03-29T00:00:00Z".parse().unwrap())), "2026-03-29T01:00:00Z");
//! assert_eq!(at(night.next_edge("2026-10-25T00:00:00Z".parse().unwrap())), "2026-10-25T00:30:00Z");
//! assert_eq!(at(night.next_edge("2026-10-25T00:30:00Z".parse().unwrap())), "2026-10-26T01:30:00Z");
//! ```
//!
//! # One-sided schedules
//!
//! A schedule that only stops (or only starts) has edges but no opinion between them: it is [`Desired::Unmanaged`] at
//! every instant. Enforcing it changes nothing: its edges are applied, and nobody is stopped at noon for last night's edge.

mod because;
mod calendar;
mod clock;
mod coverage;
mod cron;
mod dates;
mod days;
mod field;
mod idle;
mod inline;
mod rate;
mod raw;
mod rules;
mod trigger_cron;
mod union;
mod window;
mod zone;

use std::fmt;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

pub use self::cron::Cron;
pub use self::dates::DateRule;
pub use self::rate::Rate;
pub use self::raw::{OneOrMany, RawTimetable, RawWindow};
use self::rules::Rules;
pub use self::trigger_cron::{EARLY_TRIGGER, TriggerCron, fired_for, minute_of, triggers};
pub use self::window::Window;
pub use self::zone::time_zone_names;
use crate::problem::Problem;

/// The instant at which a clock in `zone` first shows `wall`, or jumps past it; to the minute. Nothing outside the years that
/// schedules have edges in.
pub(crate) fn instant_of_wall(zone: &TimeZone, wall: DateTime) -> Option<Timestamp> {
    calendar::has_edges(wall.date()).then(|| clock::instant_of(zone, calendar::Wall::floor(wall)))
}

/// What an edge says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Instances should be started.
    Start,
    /// Instances should be stopped.
    Stop,
}

impl fmt::Display for Action {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Start => "start",
            Self::Stop => "stop",
        })
    }
}

/// One instant at which a schedule says start or stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Edge {
    /// When, always on a whole second.
    pub at: Timestamp,
    /// What it says.
    pub action: Action,
}

/// What a schedule wants at an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Desired {
    /// Instances should be running.
    Running,
    /// Instances should be stopped.
    Stopped,
    /// No opinion.
    Unmanaged,
}

impl fmt::Display for Desired {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Running => "running",
            Self::Stopped => "stopped",
            Self::Unmanaged => "unmanaged",
        })
    }
}

/// When instances should run: windows, crons and dates in one time zone, or several such timetables together.
///
/// It prints as one line, which [`Timetable::parse_inline`] reads back to an equal timetable (unless it was put together
/// with [`Timetable::any_of`]).
#[derive(Clone, Debug, PartialEq)]
pub struct Timetable {
    /// Never empty.
    members: Vec<Rules>,
}

impl Timetable {
    /// Reads a schedule from one line, such as a tag's value: parts joined by `;`, and the time zone as the last word.
    ///
    /// A part is a window (`Mon-Fri 08:00-20:00`, see [`Window`]), `start CRON`, `stop CRON`, `except DATES` or
    /// `only DATES` (see [`Cron`] and [`DateRule`]; dates are joined by commas).
    ///
    /// # Errors
    ///
    /// Everything that is wrong, not only the first; the problems' keys begin with `inline`.
    ///
    /// ```
    /// use curfew_core::timetable::Timetable;
    ///
    /// let lab = Timetable::parse_inline("Mon-Thu 09:00-01:00; Fri 09:00-18:00; except 12-25 Asia/Kolkata").unwrap();
    /// assert_eq!(lab.to_string(), "Mon-Thu 09:00-01:00; Fri 09:00-18:00; except 12-25 Asia/Kolkata");
    /// ```
    pub fn parse_inline(text: &str) -> Result<Self, Vec<Problem>> {
        inline::parse(text).map(Self::from)
    }

    /// Several timetables together: running when any of them wants it, each in its own zone. Stopped when none wants it
    /// running and some want it stopped. No edge falls inside a run that another member keeps up.
    ///
    /// # Panics
    ///
    /// Without any members.
    pub fn any_of(members: Vec<Self>) -> Self {
        let members: Vec<_> = members
            .into_iter()
            .flat_map(|member| member.members)
            .collect();
        assert!(!members.is_empty(), "a timetable has at least one member");
        Self { members }
    }

    /// The zone in which to print its instants: that of the first member.
    pub fn time_zone(&self) -> &TimeZone {
        &self.members[0].zone
    }

    /// The first edge strictly after `after`, or nothing when there is none up to the end of 2199.
    pub fn next_edge(&self, after: Timestamp) -> Option<Edge> {
        let after = clock::clamp(after);
        match &self.members[..] {
            [rules] => rules.next_edge(after),
            members => union::next_edge(members, after),
        }
    }

    /// The last edge at or before `at`, or nothing when there was none since 1970.
    pub fn last_edge(&self, at: Timestamp) -> Option<Edge> {
        let at = clock::clamp(at);
        match &self.members[..] {
            [rules] => rules.last_edge(at),
            members => union::last_edge(members, at),
        }
    }

    /// All edges strictly after `after`, in order, no two at one instant.
    pub fn edges(&self, after: Timestamp) -> impl Iterator<Item = Edge> + '_ {
        std::iter::successors(self.next_edge(after), |edge| self.next_edge(edge.at))
    }

    /// What it wants at `at`: what its last edge said, where it has both kinds of edges. Windows want instances stopped
    /// outside of them; crons have no opinion before their first edge, and one-sided ones never have any.
    pub fn desired(&self, at: Timestamp) -> Desired {
        union::desired(&self.members, clock::clamp(at))
    }

    /// One sentence that says why it wants what it wants at `at`: the window, cron or date that makes it so.
    ///
    /// ```
    /// use curfew_core::timetable::Timetable;
    ///
    /// let office = Timetable::parse_inline("Mon-Fri 08:00-20:00; except 12-25 Europe/Paris").unwrap();
    /// assert_eq!(
    ///     office.because("2026-12-25T11:00:00Z".parse().unwrap()),
    ///     "2026-12-25 is excepted (`12-25`): nothing starts on that day in Europe/Paris",
    /// );
    /// ```
    pub fn because(&self, at: Timestamp) -> String {
        because::sentence(&self.members, clock::clamp(at))
    }

    /// What of it never happens after `now`, a sentence each: a cron or a window that has no day, dates that leave nothing, and
    /// a last working day (`LW`, `15W`) within 400 days that `except` takes out. Nothing for several timetables together: each
    /// is asked by itself.
    ///
    /// ```
    /// use curfew_core::timetable::Timetable;
    ///
    /// let night = Timetable::parse_inline("stop 0 18 31 2,4 * Europe/Vienna").unwrap();
    /// assert_eq!(
    ///     night.never_happens("2026-01-01T00:00:00Z".parse().unwrap()),
    ///     ["the stop cron `0 18 31 2,4 *` never fires"],
    /// );
    /// ```
    pub fn never_happens(&self, now: Timestamp) -> Vec<String> {
        match &self.members[..] {
            [rules] => idle::sentences(rules, clock::clamp(now)),
            _ => Vec::new(),
        }
    }
}

impl From<Rules> for Timetable {
    fn from(rules: Rules) -> Self {
        Self {
            members: vec![rules],
        }
    }
}

impl fmt::Display for Timetable {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, rules) in self.members.iter().enumerate() {
            if index > 0 {
                formatter.write_str(" | ")?;
            }
            inline::write(rules, formatter)?;
        }
        Ok(())
    }
}
