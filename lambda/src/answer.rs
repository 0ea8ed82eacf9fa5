//! What callers get, besides the views that the command line has too. The words are a contract: scripts and the page read
//! them.

use curfew_aws::change::{Change, Verdict};
use curfew_aws::pass::Pass;
use curfew_core::schedule::{Schedule, ScheduleName};
use curfew_core::simulate::{Bound, Interval, Simulation, Span};
use curfew_core::state_tags::whole_second;
use curfew_core::status::Status;
use curfew_core::timetable::{Desired, Edge};
use jiff::{Timestamp, ToSpan as _};
use serde::Serialize;

use crate::command::Days;
use crate::refusal::Refusal;

/// The answer to `/start`, `/stop` and `/resume`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Changes {
    /// The instant of the decisions.
    pub at: Timestamp,
    /// One entry per instance that was asked for.
    pub instances: Vec<Change>,
    /// What went wrong, if something did: the HTTP status is this refusal's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Refusal>,
    /// What went wrong in accounts and regions that did not answer: what is there is unknown.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unanswered: Vec<Refusal>,
}

impl Changes {
    /// Whether something is recorded whose call came to nothing: accepted, and not done yet.
    pub(crate) fn await_a_later_pass(&self) -> bool {
        let mut results = self.instances.iter().map(|change| change.result);
        results.any(|result| result == Verdict::Recorded)
    }
}

/// The answer to `/schedules`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Schedules {
    /// The instant of the answer.
    pub at: Timestamp,
    /// The schedules by name.
    pub schedules: Vec<ScheduleStatus>,
}

/// What one schedule wants.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
    /// What it wants over the days asked for by `days`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeline: Option<Timeline>,
}

/// What a schedule wants over some days, which begin at midnight in its own zone.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Timeline {
    /// Where it begins: today's midnight, included.
    pub from: Timestamp,
    /// Where it ends, excluded.
    pub to: Timestamp,
    /// When instances should run, in order; no two touch.
    pub running: Vec<Interval>,
    /// When the schedule has no opinion, likewise.
    pub unmanaged: Vec<Interval>,
    /// Its edges, in order: all there is to see of a schedule without an opinion.
    pub edges: Vec<Edge>,
}

impl Timeline {
    /// Of today and the days after it, `days` together. Nothing at the end of the years that schedules have edges in.
    pub(crate) fn of(schedule: &Schedule, days: Days, now: Timestamp) -> Option<Self> {
        let zone = schedule.timetable.time_zone();
        let first = zone.to_datetime(now).date();
        let last = first.checked_add((days.get() - 1).days()).ok()?;
        let span = Span::between(Some(Bound::Date(first)), Some(Bound::Date(last)), zone, now);
        let simulation = Simulation::of(schedule, span.ok()?, &[]);
        Some(Self {
            from: simulation.from,
            to: simulation.to,
            running: simulation.running,
            unmanaged: simulation.unmanaged,
            edges: simulation.edges,
        })
    }
}

/// The answer to `/healthz`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Health {
    /// `ok`: anything else is an error.
    pub status: &'static str,
    /// This release.
    pub version: &'static str,
}

/// The answer to what is refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Problem {
    /// Why.
    pub error: Refusal,
}

/// The answer to `/status`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(rename = "Status"))]
pub struct Overview {
    /// What was seen.
    #[serde(flatten)]
    pub status: Status,
    /// What went wrong in accounts and regions that did not answer: their instances are missing here, and unknown.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unanswered: Vec<Refusal>,
}

/// The answer to a trigger: what its pass did.
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
    /// How many passes were handed on to other invocations.
    #[serde(skip_serializing_if = "is_none")]
    pub queued: usize,
    /// What went wrong in accounts and regions that did not answer, by their names: what is there is unknown.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unanswered: Vec<Refusal>,
}

impl PassReport {
    /// Of a pass that has not begun.
    pub(crate) fn empty(at: Timestamp) -> Self {
        Self {
            at,
            instances: 0,
            steps: 0,
            failures: 0,
            next_edge: None,
            queued: 0,
            unanswered: Vec::new(),
        }
    }

    /// Of one pass.
    pub(crate) fn of(pass: &Pass) -> Self {
        Self {
            instances: pass.instances.len(),
            steps: pass.outcomes.len(),
            failures: pass.failures(),
            next_edge: pass.plan.next_edge,
            ..Self::empty(whole_second(pass.at))
        }
    }

    /// Both together.
    pub(crate) fn add(&mut self, other: &Self) {
        self.at = self.at.max(other.at);
        self.instances += other.instances;
        self.steps += other.steps;
        self.failures += other.failures;
        self.next_edge = [self.next_edge, other.next_edge]
            .into_iter()
            .flatten()
            .min();
        self.queued += other.queued;
        self.unanswered.extend(other.unanswered.iter().cloned());
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_none(count: &usize) -> bool {
    *count == 0
}
