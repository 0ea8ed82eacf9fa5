//! What callers get for a look. The words are a contract: scripts and the page read them.

use curfew_core::assess::Assessment;
use curfew_core::instance::{Instance, InstanceId, InstanceState};
use curfew_core::memory::{Hold, Last};
use curfew_core::plan::{Decision, StepAction};
use curfew_core::schedule::ScheduleName;
use curfew_core::timetable::{Desired, Edge};
use jiff::Timestamp;
use serde::Serialize;

/// The answer to `/status`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Status {
    /// The instant of the look.
    pub at: Timestamp,
    /// One entry per instance.
    pub instances: Vec<InstanceStatus>,
    /// How many instances no schedule governs and this answer leaves out; `all=true` shows them.
    pub ungoverned: usize,
    /// The earliest instant at which something is due for one of the instances.
    pub next_edge: Option<Timestamp>,
}

/// How one instance is, and why.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct InstanceStatus {
    /// Its id.
    pub id: InstanceId,
    /// Its name.
    pub name: Option<String>,
    /// Its type, such as `t3.micro`.
    pub instance_type: String,
    /// Its state.
    pub state: InstanceState,
    /// The schedule that governs it.
    pub schedule: Option<ScheduleName>,
    /// What its hold, or else its schedule, wants now.
    pub desired: Desired,
    /// The newest edge or request applied to it, with its cause.
    pub last: Option<Last>,
    /// The hold in force.
    pub hold: Option<Hold>,
    /// When something is next due for it, and what.
    pub next_edge: Option<Edge>,
    /// What a pass would do now; nothing when it would leave the instance alone.
    pub due: Option<StepAction>,
    /// Why the instance is as it is, or what is due: one sentence.
    pub reason: String,
}

impl InstanceStatus {
    pub(crate) fn of(instance: &Instance, assessment: Assessment<'_>) -> Self {
        let (due, reason) = match assessment.decision {
            Decision::Skip(skip) => (None, skip.detail),
            Decision::Step(step) => {
                let note = step
                    .note
                    .map(|note| format!(": {note}"))
                    .unwrap_or_default();
                let what = match step.action {
                    StepAction::Record => "a pass would note it as done",
                    StepAction::Start => "a pass would start it",
                    StepAction::Stop => "a pass would stop it",
                    StepAction::Hibernate => "a pass would hibernate it",
                };
                (Some(step.action), format!("{what} ({}{note})", step.cause))
            }
        };
        Self {
            id: instance.id.clone(),
            name: instance.name().map(str::to_owned),
            instance_type: instance.instance_type.clone(),
            state: instance.state,
            schedule: assessment.schedule.map(|schedule| schedule.name.clone()),
            desired: assessment.desired,
            last: assessment.last,
            hold: assessment.hold,
            next_edge: assessment.next_edge,
            due,
            reason,
        }
    }
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
