//! The time part of a schedule: its edges, and its desired state between them. Matching of instances and policies such as
//! enforcement are in [`crate::schedule`].
//!
//! A [`Timetable`] is made from configuration ([`RawTimetable::resolve`]), from a tag's value
//! ([`Timetable::parse_inline`]), or from other timetables ([`Timetable::any_of`]). It computes the next edge, the last edge,
//! and the desired state at an instant; [`triggers`] computes the UTC rules that fire at every edge.
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
//! Instants are [`jiff::Timestamp`]s; wall time is internal to this module. All edges lie in the years 1970–2199, AWS's
//! range, so every search ends.
//!
//! **Daylight saving:** an edge fires exactly once. A wall time that occurs twice fires at its first occurrence; a wall time
//! that the clock skips (or that lies on a day that the zone skips) fires at the jump.
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
//! A schedule with only stop edges (or only start edges) has no desired state between them: it is [`Desired::Unmanaged`] at
//! every instant. Enforcing it has no effect beyond its edges: no instance is stopped at noon because of last night's edge.

mod calendar;
mod clock;
mod coverage;
mod cron;
mod dates;
mod days;
mod field;
mod inline;
#[cfg(feature = "schema")]
pub(crate) mod patterns;
mod rate;
mod raw;
mod reason;
mod rules;
mod trigger_cron;
mod union;
mod warnings;
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
use self::rules::ZonedRules;
pub use self::trigger_cron::{EARLY_TRIGGER, TriggerCron, fired_for, minute_of, triggers};
pub use self::window::Window;
pub use self::zone::time_zone_names;
use crate::problem::Problem;

/// Returns the instant at which a clock in `zone` first shows the minute of `wall`, or jumps past it. Returns `None` outside the
/// years 1970–2199, in which schedules have edges.
pub(crate) fn instant_of_wall(zone: &TimeZone, wall: DateTime) -> Option<Timestamp> {
    calendar::has_edges(wall.date()).then(|| clock::instant_of(zone, calendar::Wall::floor(wall)))
}

/// The action of an edge, a request or a step: start or stop.
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

/// One instant at which a schedule starts or stops its instances.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Edge {
    /// The instant of the edge, always on a whole second.
    pub at: Timestamp,
    /// Whether the edge starts or stops instances.
    pub action: Action,
}

/// The desired state of a schedule at an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Desired {
    /// Instances should be running.
    Running,
    /// Instances should be stopped.
    Stopped,
    /// There is no desired state: instances stay as they are.
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

/// The times at which instances should run: windows, crons and dates in one time zone, or a union of several such timetables.
///
/// `Display` writes one line, which [`Timetable::parse_inline`] parses to an equal timetable (unless it was made by
/// [`Timetable::any_of`]).
#[derive(Clone, Debug, PartialEq)]
pub struct Timetable {
    /// The timetables of the union, at least one.
    members: Vec<ZonedRules>,
}

impl Timetable {
    /// Parses a timetable in one line, such as a tag's value: parts joined by `;`, and the time zone as the last word.
    ///
    /// A part is a window (`Mon-Fri 08:00-20:00`, see [`Window`]), `start CRON`, `stop CRON`, `except DATES` or
    /// `only DATES` (see [`Cron`] and [`DateRule`]; dates are joined by commas).
    ///
    /// # Errors
    ///
    /// Returns all problems, not only the first; their keys begin with `inline`.
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

    /// Makes the union of several timetables, each in its own time zone. Its desired state is running when any member's is, else
    /// stopped when any member's is, else unmanaged. An edge of one member inside a run of another is not an edge of the union.
    ///
    /// # Panics
    ///
    /// Panics if `members` is empty.
    pub fn any_of(members: Vec<Self>) -> Self {
        let members: Vec<_> = members
            .into_iter()
            .flat_map(|member| member.members)
            .collect();
        assert!(!members.is_empty(), "a timetable has at least one member");
        Self { members }
    }

    /// Returns the time zone in which to print the timetable's instants: that of the first member.
    pub fn time_zone(&self) -> &TimeZone {
        &self.members[0].zone
    }

    /// Returns the first edge strictly after `after`, or `None` when there is none up to the end of 2199.
    pub fn next_edge(&self, after: Timestamp) -> Option<Edge> {
        let after = clock::clamp(after);
        match &self.members[..] {
            [rules] => rules.next_edge(after),
            members => union::next_edge(members, after),
        }
    }

    /// Returns the last edge at or before `at`, or `None` when there was none since 1970.
    pub fn last_edge(&self, at: Timestamp) -> Option<Edge> {
        let at = clock::clamp(at);
        match &self.members[..] {
            [rules] => rules.last_edge(at),
            members => union::last_edge(members, at),
        }
    }

    /// Returns all edges strictly after `after`, in order, at most one at an instant.
    pub fn edges(&self, after: Timestamp) -> impl Iterator<Item = Edge> + '_ {
        std::iter::successors(self.next_edge(after), |edge| self.next_edge(edge.at))
    }

    /// Returns the desired state at `at`. It follows from the last edge if the timetable has both kinds of edges. Outside its
    /// windows a timetable with windows is stopped; one with only crons is unmanaged before its first edge, and a one-sided one
    /// is always unmanaged.
    pub fn desired(&self, at: Timestamp) -> Desired {
        union::desired(&self.members, clock::clamp(at))
    }

    /// Returns the reason for the desired state at `at` as one sentence, which names the window, cron or date.
    ///
    /// ```
    /// use curfew_core::timetable::Timetable;
    ///
    /// let office = Timetable::parse_inline("Mon-Fri 08:00-20:00; except 12-25 Europe/Paris").unwrap();
    /// assert_eq!(
    ///     office.reason("2026-12-25T11:00:00Z".parse().unwrap()),
    ///     "Fri 25 Dec is excepted (`12-25`): nothing starts on that day in Europe/Paris",
    /// );
    /// ```
    pub fn reason(&self, at: Timestamp) -> String {
        reason::sentence(&self.members, clock::clamp(at))
    }
}

impl From<ZonedRules> for Timetable {
    fn from(rules: ZonedRules) -> Self {
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
