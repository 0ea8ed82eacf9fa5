//! Carries out API requests: status, schedules, start, stop and resume. Also handles state changes that EC2 reports.

use curfew_aws::decided_request::DecidedRequest;
use curfew_aws::error::{CloudError, presentable};
use curfew_aws::execute::{Deadline, Outcome, StepResult};
use curfew_aws::fleet::Scope;
use curfew_core::error_code::ErrorCode;
use curfew_core::instance::InstanceState;
use curfew_core::schedule::Enforcement;
use curfew_core::select::{EvaluatedInstance, InstanceSelector, for_change, for_status};
use curfew_core::state_tags::{Actor, whole_second};
use curfew_core::status::Status;
use curfew_core::timetable::{Desired, minute_of};
use curfew_core::work::Work;
use curfew_core::world::World;
use tracing::{info, warn};

use crate::api_error::ApiError;
use crate::app::App;
use crate::command::{ChangeMode, RequestedChange, TimelineDays};
use crate::configuration_cache::MAX_AGE;
use crate::event::StateChangeEvent;
use crate::responses::{
    ChangeResponse, PassReport, ScheduleStatus, SchedulesResponse, StatusResponse, Timeline,
};

impl App {
    pub(crate) async fn status(
        &self,
        targets: &InstanceSelector,
        deadline: Deadline,
    ) -> Result<StatusResponse, ApiError> {
        let observation = self.observe(targets, deadline).await?;
        if targets.is_by_instance() {
            observation.is_sufficient_for(targets)?;
        }
        let (schedule_set, now) = (&observation.schedule_set, observation.now);
        let world = World::without_request(schedule_set, &observation.fleet.instances);
        let (shown, unmanaged) =
            for_status(targets, EvaluatedInstance::all(&world, now), schedule_set)
                .map_err(|error| observation.selection_error(error))?;
        Ok(StatusResponse {
            status: Status::of(shown, unmanaged, schedule_set, now),
            unanswered: observation.unanswered,
        })
    }

    pub(crate) async fn schedules(
        &self,
        days: Option<TimelineDays>,
    ) -> Result<SchedulesResponse, ApiError> {
        let schedule_set = self
            .configuration
            .current(&self.clock, MAX_AGE)
            .await?
            .schedule_set;
        let now = self.clock.now();
        let schedules = schedule_set.schedules.values().map(|schedule| {
            let timetable = &schedule.timetable;
            ScheduleStatus {
                name: schedule.name.clone(),
                timezone: timetable
                    .time_zone()
                    .iana_name()
                    .unwrap_or("UTC")
                    .to_owned(),
                enforce: schedule.enforcement == Enforcement::Enforced,
                desired: timetable.desired(now),
                reason: timetable.reason(now),
                last_edge: timetable.last_edge(now),
                next: timetable.next_edge(now),
                timeline: days.and_then(|days| Timeline::of(schedule, days, now)),
            }
        });
        Ok(SchedulesResponse {
            at: whole_second(now),
            tag: schedule_set.tag.clone(),
            schedules: schedules.collect(),
        })
    }

    pub(crate) async fn change(
        &self,
        ask: RequestedChange,
        targets: &InstanceSelector,
        mode: ChangeMode,
        actor: Actor,
        deadline: Deadline,
    ) -> Result<ChangeResponse, ApiError> {
        let observation = self.observe(targets, deadline.for_observing()).await?;
        observation.is_sufficient_for(targets)?;
        let (schedule_set, now) = (&*observation.schedule_set, observation.now);
        let world = World::without_request(schedule_set, &observation.fleet.instances);
        let seen = EvaluatedInstance::all(&world, now);
        let selection = for_change(targets, &seen, schedule_set, self.request_limit)
            .map_err(|error| observation.selection_error(error))?;
        let kind = ask.resolve(&selection, now)?;
        let request = DecidedRequest::decide(
            &selection,
            schedule_set,
            &observation.fleet,
            (kind, actor),
            now,
        );
        let (instances, error) = match mode {
            ChangeMode::DryRun => (request.dry_run(), None),
            ChangeMode::Act => {
                let outcomes = request.carry_out(&self.clock, deadline).await;
                let present = |error: &CloudError| presentable(&error.to_string());
                (request.changes(&outcomes, present), step_error(&outcomes))
            }
        };
        Ok(ChangeResponse {
            at: whole_second(now),
            instances,
            error: error.or_else(|| observation.unreachable(targets)),
            unanswered: observation.unanswered.clone(),
        })
    }

    /// Logs a state change. Runs a pass over the instance only if its new state is drift from an active override or an enforced
    /// schedule. Transitional states are ignored; without an override or enforcement, the next edge decides.
    pub(crate) async fn state_changed(
        &self,
        change: &StateChangeEvent,
        deadline: Deadline,
    ) -> Result<Option<PassReport>, ApiError> {
        let StateChangeEvent {
            instance: id,
            to,
            at,
            region,
            event,
        } = change;
        if !matches!(to, InstanceState::Running | InstanceState::Stopped) {
            info!(instance = %id, %to, at, region, "transition");
            return Ok(None);
        }
        let configuration = self.configuration.current(&self.clock, MAX_AGE).await?;
        let organisation = self.organisations.of(&configuration.targets);
        // EventBridge sends only the home region's changes to the function; the passes cover the other account-regions.
        let Some(home) = organisation.account_region(&self.organisations.home_account_region())
        else {
            info!(instance = %id, %to, at, region, "transition");
            return Ok(None);
        };
        let scope = Scope::Only([id.clone()].into());
        let instances = home.fleet().observe(&scope).await?.instances;
        let (schedule_set, now) = (&configuration.schedule_set, self.clock.now());
        let world = World::without_request(schedule_set, &instances);
        let Some(seen) = EvaluatedInstance::all(&world, now).pop() else {
            warn!(instance = %id, %to, at, region, "transition of an instance that EC2 does not return");
            return Ok(None);
        };
        let name = seen.instance.name();
        let assessment = seen.assessment;
        let schedule = assessment.schedule.as_deref();
        info!(
            instance = %id, name, %to, at, region,
            schedule = schedule.map(|schedule| schedule.name.as_str()),
            last = assessment.last.as_ref().map(ToString::to_string),
            override_ = assessment.override_.as_ref().map(ToString::to_string),
            "transition"
        );
        let enforced = assessment.override_.is_some()
            || schedule.is_some_and(|schedule| schedule.enforcement == Enforcement::Enforced);
        let drifted = matches!(
            (seen.instance.state, assessment.desired),
            (InstanceState::Running, Desired::Stopped) | (InstanceState::Stopped, Desired::Running)
        );
        if !(enforced && drifted) {
            return Ok(None);
        }
        let work = Work {
            instance: Some(id.clone()),
            ..Work::over(home.account_region.clone(), minute_of(now))
        };
        Ok(Some(
            self.enqueue_instance_pass(event, &work, deadline).await?,
        ))
    }
}

/// Combines the steps that failed before their request or their state tag was written into one error, with the first failure's code
/// and the number of failures. A recorded request with a failed call is retried by a later pass and is not an error.
fn step_error(outcomes: &[Outcome]) -> Option<ApiError> {
    let mut failures = outcomes.iter().filter_map(|outcome| {
        let refusal = match &outcome.result {
            // A dropped step was superseded by a newer request, which is not a failure.
            StepResult::Done { .. } | StepResult::Dropped { .. } => return None,
            StepResult::Failed(_) | StepResult::OutOfTime if outcome.request_written => {
                return None;
            }
            StepResult::TagsNotWritten { error, .. } | StepResult::Failed(error) => error.into(),
            StepResult::OutOfTime => ApiError::new(
                ErrorCode::OutOfTime,
                "time ran out before all instances were changed",
                "retry: a repeated request changes nothing twice",
            ),
        };
        Some((&outcome.step.instance, refusal))
    });
    let (instance, mut first) = failures.next()?;
    let failed = 1 + failures.count();
    first.message = format!(
        "{failed} of {} failed: `{instance}`: {}",
        outcomes.len(),
        first.message
    );
    Some(first)
}
