//! The status of instances, for the HTTP API, the page and the command line. The JSON fields are a contract with scripts.

use std::borrow::Cow;
use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use crate::assess::Assessment;
use crate::decision::Decision;
use crate::explain::verdict;
use crate::instance::{InstanceId, InstanceState, Region, ResourceKind};
use crate::instance_problem::InstanceProblem;
use crate::last_change::LastChange;
use crate::next_action::NextAction;
use crate::schedule::ScheduleName;
use crate::schedule_set::ScheduleSet;
use crate::select::EvaluatedInstance;
use crate::skip::SkipCode;
use crate::state_tags::{Fallback, LastApplied, Override, Retry, whole_second};
use crate::step::StepAction;
use crate::timetable::{Desired, Edge};

/// The observed instances, as `/status` and `curfew status` report them.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Status {
    /// The instant of the observation.
    pub at: Timestamp,
    /// One entry per instance.
    pub instances: Vec<InstanceStatus>,
    /// The number of unmanaged instances that are not listed; a query for all instances lists them.
    pub unmanaged_count: usize,
    /// The earliest instant at which something is due for one of the instances.
    pub next: Option<NextAction>,
}

impl Status {
    /// The status at `now` of the instances in `seen`; `unmanaged_count` is the number of those that are not listed.
    pub fn of(
        seen: Vec<EvaluatedInstance<'_>>,
        unmanaged_count: usize,
        schedule_set: &ScheduleSet,
        now: Timestamp,
    ) -> Self {
        let mut reasons = ReasonCache::default();
        let instances: Vec<InstanceStatus> = seen
            .into_iter()
            .map(|one| InstanceStatus::of(one, schedule_set, &mut reasons, now))
            .collect();
        Self {
            at: whole_second(now),
            next: NextAction::earliest(
                instances
                    .iter()
                    .filter_map(|one| one.next.map(NextAction::from)),
            ),
            instances,
            unmanaged_count,
        }
    }
}

/// The status of one instance, with the reasons.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct InstanceStatus {
    /// The instance's id.
    pub id: InstanceId,
    /// The kind of the resource.
    pub kind: ResourceKind,
    /// The value of its tag `Name`.
    pub name: Option<String>,
    /// The region of the instance.
    pub region: Region,
    /// The instance type, such as `t3.micro`.
    pub instance_type: String,
    /// The observed state.
    pub state: InstanceState,
    /// The schedule that manages it.
    pub schedule: Option<ScheduleName>,
    /// The text of the schedule, if the instance's tag holds it; `schedule` is `inline` then.
    pub inline_schedule: Option<String>,
    /// The desired state, by its override or else by its schedule.
    pub desired: Desired,
    /// The reason for the desired state: one sentence; null if no schedule manages the instance.
    pub reason: Option<String>,
    /// The newest edge or request applied to it, with its cause.
    pub last_applied: Option<LastApplied>,
    /// The latest change of its state, as far as EC2 and the state tags show it.
    pub last_change: Option<LastChange>,
    /// The override in force.
    #[serde(rename = "override")]
    pub override_: Option<Override>,
    /// The next action that is due, and its instant.
    pub next: Option<Edge>,
    /// The failed action that waits for its next attempt, such as a start without capacity.
    pub retry: Option<Retry>,
    /// The fallback in force: the type that the instance has for lack of capacity, and the type that it returns to.
    pub fallback: Option<Fallback>,
    /// The action that a pass would take now; null if it would skip the instance.
    pub pending_action: Option<StepAction>,
    /// Why a pass would skip the instance, as a stable code; null if an action is due.
    pub skip_code: Option<SkipCode>,
    /// What a pass would do, or why it would do nothing: one sentence.
    pub verdict: String,
    /// What a person has to mend; null if there is nothing.
    pub problem: Option<InstanceProblem>,
}

impl InstanceStatus {
    fn of(
        EvaluatedInstance {
            instance,
            assessment,
        }: EvaluatedInstance<'_>,
        schedule_set: &ScheduleSet,
        reasons: &mut ReasonCache,
        now: Timestamp,
    ) -> Self {
        let problem = InstanceProblem::of(instance, &assessment, schedule_set, now);
        let reason = reasons.because(&assessment, now);
        let last_change = LastChange::of(instance, &assessment);
        let verdict = verdict(&assessment.decision);
        let (pending_action, skip_code) = match assessment.decision {
            Decision::Skip(skip) => (None, Some(skip.reason.code())),
            Decision::Step(step) => (Some(step.action), None),
        };
        Self {
            id: instance.id.clone(),
            kind: ResourceKind::Instance,
            name: instance.name().map(str::to_owned),
            region: instance.region.clone(),
            instance_type: instance.instance_type.clone(),
            state: instance.state,
            inline_schedule: assessment
                .schedule
                .as_ref()
                .and_then(|schedule| schedule.inline.clone()),
            schedule: assessment.schedule.map(|schedule| schedule.name.clone()),
            desired: assessment.desired,
            reason,
            last_applied: assessment.last,
            last_change,
            override_: assessment.override_,
            next: assessment.next_edge,
            retry: assessment.retry,
            fallback: assessment.fallback,
            pending_action,
            skip_code,
            verdict,
            problem,
        }
    }
}

/// Caches the reason for each schedule's desired state, so that a thousand instances of one schedule share one sentence.
#[derive(Default)]
struct ReasonCache(BTreeMap<ScheduleName, String>);

impl ReasonCache {
    fn because(&mut self, assessment: &Assessment<'_>, now: Timestamp) -> Option<String> {
        if let Some(override_) = &assessment.override_ {
            return Some(format!("the override by {}", override_.actor));
        }
        if let Some(request) = &assessment.request {
            return Some(format!("the request by {}", request.actor));
        }
        match assessment.schedule.as_ref()? {
            Cow::Borrowed(schedule) => {
                let sentence = self.0.entry(schedule.name.clone());
                let sentence = sentence.or_insert_with(|| schedule.timetable.reason(now));
                Some(sentence.clone())
            }
            // An inline schedule of the instance's tag: all of these have the same name.
            Cow::Owned(schedule) => Some(schedule.timetable.reason(now)),
        }
    }
}
