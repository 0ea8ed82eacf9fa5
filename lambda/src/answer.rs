//! What callers get, besides the views that the command line has too. The words are a contract: scripts and the page read
//! them.

use curfew_aws::change::Change;
use curfew_core::schedule::ScheduleName;
use curfew_core::timetable::{Desired, Edge};
use jiff::Timestamp;
use serde::Serialize;

use crate::refusal::Refusal;

/// The answer to `/start`, `/stop` and `/resume`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Changes {
    /// The instant of the decisions.
    pub at: Timestamp,
    /// One entry per instance that was asked for.
    pub instances: Vec<Change>,
    /// What went wrong, if something did: the HTTP status is this refusal's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Refusal>,
}

/// The answer to `/schedules`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Schedules {
    /// The instant of the answer.
    pub at: Timestamp,
    /// The schedules by name.
    pub schedules: Vec<ScheduleStatus>,
}

/// What one schedule wants.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ScheduleStatus {
    /// Its name.
    pub name: ScheduleName,
    /// Its IANA time zone.
    pub timezone: String,
    /// Whether it wins at every pass.
    pub enforce: bool,
    /// What it wants now.
    pub desired: Desired,
    /// Why: one sentence.
    pub because: String,
    /// Its newest edge.
    pub last_edge: Option<Edge>,
    /// Its next edge.
    pub next_edge: Option<Edge>,
}

/// The answer to a wake-up: what its pass did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PassReport {
    /// The instant of the decisions.
    pub at: Timestamp,
    /// How many instances were looked at.
    pub instances: usize,
    /// How many steps were made.
    pub steps: usize,
    /// How many of them failed.
    pub failures: usize,
    /// The earliest instant at which something is due next.
    pub next_edge: Option<Timestamp>,
}
