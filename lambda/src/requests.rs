//! Carries out API requests: status, schedules, start, stop and resume. Also handles state changes that EC2 reports.

use std::collections::HashMap;

use curfew_aws::change::Change;
use curfew_aws::error::{CloudError, presentable};
use curfew_aws::execute::{Deadline, Outcome, StepResult};
use curfew_aws::fleet::Scope;
use curfew_core::assess::assess;
use curfew_core::decision::Decision;
use curfew_core::instance::{Instance, InstanceId, InstanceState};
use curfew_core::memory::{Actor, whole_second};
use curfew_core::request::{Ask, Request};
use curfew_core::schedule::Enforcement;
use curfew_core::select::{Seen, Targets, for_change, for_status};
use curfew_core::status::Status;
use curfew_core::step::Step;
use curfew_core::timetable::{Desired, minute_of};
use curfew_core::work::Work;
use curfew_core::world::World;
use tracing::{info, warn};

use crate::api_error::{ApiError, ErrorCode};
use crate::app::App;
use crate::command::{ChangeMode, TimelineDays};
use crate::configuration_cache::MAX_AGE;
use crate::event::StateChangeEvent;
use crate::responses::{
    ChangeResponse, PassReport, ScheduleStatus, SchedulesResponse, StatusResponse, Timeline,
};

impl App {
    pub(crate) async fn status(
        &self,
        targets: &Targets,
        deadline: Deadline,
    ) -> Result<StatusResponse, ApiError> {
        let observation = self.observe(targets, deadline).await?;
        if !targets.ids.is_empty() {
            observation.is_sufficient_for(targets)?;
        }
        let (schedule_set, now) = (&observation.schedule_set, observation.now);
        let world = World::unasked(schedule_set, &observation.instances);
        let (shown, unmanaged) = for_status(targets, Seen::all(&world, now), schedule_set)
            .map_err(|error| observation.selection_error(error))?;
        Ok(StatusResponse {
            status: Status::of(shown, unmanaged, now),
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
                because: timetable.because(now),
                last_edge: timetable.last_edge(now),
                next_edge: timetable.next_edge(now),
                timeline: days.and_then(|days| Timeline::of(schedule, days, now)),
            }
        });
        Ok(SchedulesResponse {
            at: whole_second(now),
            schedules: schedules.collect(),
        })
    }

    pub(crate) async fn change(
        &self,
        ask: Ask,
        targets: &Targets,
        mode: ChangeMode,
        by: Actor,
        deadline: Deadline,
    ) -> Result<ChangeResponse, ApiError> {
        let observation = self.observe(targets, deadline.for_looking()).await?;
        observation.is_sufficient_for(targets)?;
        let (schedule_set, instances, now) = (
            &observation.schedule_set,
            &observation.instances,
            observation.now,
        );
        let world = World::unasked(schedule_set, instances);
        let seen = Seen::all(&world, now);
        let selection = for_change(targets, &seen, schedule_set, self.request_limit)
            .map_err(|error| observation.selection_error(error))?;
        let request = Request {
            ask,
            targets: selection
                .chosen
                .iter()
                .map(|seen| seen.instance.id.clone())
                .collect(),
            by,
        };
        let requested = World {
            request: Some(&request),
            ..world.clone()
        };
        let mut changes = ChangeResponse {
            at: whole_second(now),
            instances: Vec::new(),
            error: observation.unreachable(targets),
            unanswered: observation.unanswered.clone(),
        };
        let mut steps: Vec<Step> = Vec::new();
        for seen in selection.chosen {
            match assess(seen.instance, &requested, now).decision {
                Decision::Step(step) => steps.push(step),
                Decision::Skip(skip) => {
                    changes
                        .instances
                        .push(Change::skipped(seen.instance, &seen.assessment, &skip));
                }
            }
        }
        for seen in selection.skipped {
            if let Decision::Skip(skip) = &seen.assessment.decision {
                changes
                    .instances
                    .push(Change::skipped(seen.instance, &seen.assessment, skip));
            }
        }
        let by_id: HashMap<&InstanceId, &Instance> =
            instances.iter().map(|one| (&one.id, one)).collect();
        let observed = |step: &Step| {
            let found = by_id.get(&step.instance).copied();
            found.expect("every step is for an observed instance")
        };
        match mode {
            ChangeMode::DryRun => {
                let planned = steps
                    .iter()
                    .map(|step| Change::planned(observed(step), step, &requested, now));
                changes.instances.extend(planned);
            }
            ChangeMode::Act => {
                let outcomes = observation.carry_out(steps, &self.clock, deadline).await;
                let present = |error: &CloudError| presentable(&error.to_string());
                changes.instances.extend(outcomes.iter().map(|outcome| {
                    Change::made(observed(&outcome.step), outcome, &requested, now, present)
                }));
                changes.error = step_error(&outcomes).or(changes.error);
            }
        }
        changes.instances.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(changes)
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
        let instances = home.fleet().observe(&scope).await?;
        let (schedule_set, now) = (&configuration.schedule_set, self.clock.now());
        let world = World::unasked(schedule_set, &instances);
        let Some(seen) = Seen::all(&world, now).pop() else {
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
        Ok(Some(self.correct_drift(event, &work, deadline).await?))
    }
}

/// Combines the steps that failed before their request or their state tag was written into one error, with the first failure's code
/// and the number of failures. A recorded request whose call failed is retried by a later pass and is not an error.
fn step_error(outcomes: &[Outcome]) -> Option<ApiError> {
    let mut failures = outcomes.iter().filter_map(|outcome| {
        let refusal = match &outcome.result {
            // A dropped step was superseded by a newer request, which is not a failure.
            StepResult::Done { .. } | StepResult::Dropped { .. } => return None,
            StepResult::Failed(_) | StepResult::OutOfTime if outcome.said => return None,
            StepResult::NotRemembered { error, .. } | StepResult::Failed(error) => error.into(),
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
