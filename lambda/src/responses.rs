//! The API's response documents, apart from those that the command line shares. Field names and values are a contract with scripts
//! and the page.

use curfew_aws::organisation::UnansweredRegion;
use curfew_aws::pass::Pass;
use curfew_aws::request_result::{Change, Verdict};
use curfew_core::next_action::NextAction;
use curfew_core::schedule::{Schedule, ScheduleName};
use curfew_core::simulate::{Interval, Simulation, Span};
use curfew_core::state_tags::whole_second;
use curfew_core::status::Status;
use curfew_core::timetable::{Desired, Edge};
use jiff::{Timestamp, ToSpan as _};
use serde::Serialize;

use crate::api_error::ApiError;
use crate::command::TimelineDays;

/// The response to `/start`, `/stop` and `/resume`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ChangeResponse {
    /// The instant of the decisions.
    pub at: Timestamp,
    /// One entry for each requested instance.
    pub instances: Vec<Change>,
    /// The error, if the request failed for an instance. It determines the HTTP status.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ApiError>,
    /// The account-regions that did not answer. Their instances are unknown.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(test, schemars(default))]
    pub unanswered: Vec<UnansweredRegion<ApiError>>,
}

impl ChangeResponse {
    /// Whether an instance's request is recorded but its call failed, so that a later pass retries it.
    pub(crate) fn has_recorded(&self) -> bool {
        let mut results = self.instances.iter().map(|change| change.result);
        results.any(|result| result == Verdict::Recorded)
    }
}

/// The response to `/schedules`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct SchedulesResponse {
    /// The instant of the response.
    pub at: Timestamp,
    /// The key of the tag by which an instance names its schedule.
    pub tag: String,
    /// The schedules, sorted by name.
    pub schedules: Vec<ScheduleStatus>,
}

/// The state of one schedule.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ScheduleStatus {
    /// The schedule's name.
    pub name: ScheduleName,
    /// The IANA name of its time zone.
    pub timezone: String,
    /// Whether the schedule is enforced at every pass.
    pub enforce: bool,
    /// The desired state at this instant.
    pub desired: Desired,
    /// The reason for the desired state, in one sentence.
    pub reason: String,
    /// The most recent edge.
    pub last_edge: Option<Edge>,
    /// The next edge.
    pub next: Option<Edge>,
    /// The desired state over the number of days that the parameter `days` requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeline: Option<Timeline>,
}

/// A schedule's desired state over some days, which begin at midnight in the schedule's time zone.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Timeline {
    /// The start of the timeline, inclusive: today's midnight.
    pub since: Timestamp,
    /// The end of the timeline, exclusive.
    pub until: Timestamp,
    /// The intervals in which instances should run, in order, with gaps between them.
    pub running: Vec<Interval>,
    /// The intervals without a desired state, in order, with gaps between them.
    pub unmanaged: Vec<Interval>,
    /// The edges, in order. In unmanaged intervals they are the only content.
    pub edges: Vec<Edge>,
}

impl Timeline {
    /// Computes the timeline of `days` days from today on; `None` beyond the years for which schedules have edges.
    pub(crate) fn of(schedule: &Schedule, days: TimelineDays, now: Timestamp) -> Option<Self> {
        let zone = schedule.timetable.time_zone();
        let first = zone.to_datetime(now).date();
        let last = first.checked_add((days.get() - 1).days()).ok()?;
        let span = Span::of_days(first, last, zone).ok()?;
        let simulation = Simulation::of(schedule, span, &[]);
        Some(Self {
            since: simulation.from,
            until: simulation.to,
            running: simulation.running,
            unmanaged: simulation.unmanaged,
            edges: simulation.edges,
        })
    }
}

/// The response to `/healthz`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct HealthResponse {
    /// Always `ok`; a failure is an error response.
    pub status: &'static str,
    /// The version of this release.
    pub version: &'static str,
}

/// The response to a request that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ErrorResponse {
    /// The reason for the failure.
    pub error: ApiError,
}

/// The response to `/status`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct StatusResponse {
    /// The observed instances.
    #[serde(flatten)]
    pub status: Status,
    /// The account-regions that did not answer. Their instances are missing here.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(test, schemars(default))]
    pub unanswered: Vec<UnansweredRegion<ApiError>>,
}

/// The result of a trigger: what its passes did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PassReport {
    /// The instant of the decisions.
    pub at: Timestamp,
    /// The number of observed instances.
    #[serde(rename = "instance_count")]
    pub instances: usize,
    /// The number of executed steps.
    #[serde(rename = "step_count")]
    pub steps: usize,
    /// The number of failed steps.
    #[serde(rename = "failure_count")]
    pub failures: usize,
    /// What is due next.
    pub next: Option<NextAction>,
    /// The number of passes enqueued for other invocations.
    #[serde(skip_serializing_if = "is_none")]
    pub queued: usize,
    /// The errors of passes that failed, with the names of their account-regions.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<ApiError>,
}

impl PassReport {
    /// Creates the report of a pass that has not begun.
    pub(crate) fn empty(at: Timestamp) -> Self {
        Self {
            at,
            instances: 0,
            steps: 0,
            failures: 0,
            next: None,
            queued: 0,
            errors: Vec::new(),
        }
    }

    /// Summarises one pass.
    pub(crate) fn of(pass: &Pass) -> Self {
        Self {
            instances: pass.instances.len(),
            steps: pass.outcomes.len(),
            failures: pass.failures(),
            next: pass.plan.next,
            ..Self::empty(whole_second(pass.at))
        }
    }

    /// Adds another report's counts and errors to this one.
    pub(crate) fn add(&mut self, other: &Self) {
        self.at = self.at.max(other.at);
        self.instances += other.instances;
        self.steps += other.steps;
        self.failures += other.failures;
        self.next = NextAction::earliest(self.next.into_iter().chain(other.next));
        self.queued += other.queued;
        self.errors.extend(other.errors.iter().cloned());
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "required by `skip_serializing_if`"
)]
fn is_none(count: &usize) -> bool {
    *count == 0
}
