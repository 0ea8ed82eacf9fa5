//! What the function does once it knows what is asked: look, or change; and what a state change leads to.

use curfew_aws::decided_request::DecidedRequest;
use curfew_aws::error::{CloudError, presentable};
use curfew_aws::execute::{Deadline, Outcome, StepResult};
use curfew_aws::fleet::Scope;
use curfew_core::instance::InstanceState;
use curfew_core::request::RequestKind;
use curfew_core::schedule::Enforcement;
use curfew_core::select::{EvaluatedInstance, InstanceSelector, for_change, for_status};
use curfew_core::state_tags::{Actor, whole_second};
use curfew_core::status::Status;
use curfew_core::timetable::{Desired, minute_of};
use curfew_core::work::Work;
use curfew_core::world::World;
use tracing::{info, warn};

use crate::answer::{Changes, Overview, PassReport, ScheduleStatus, Schedules, Timeline};
use crate::app::App;
use crate::command::{Days, Mode};
use crate::configuration::FRESH;
use crate::event::StateChange;
use crate::refusal::{Code, Refusal};

impl App {
    pub(crate) async fn status(
        &self,
        targets: &InstanceSelector,
        deadline: Deadline,
    ) -> Result<Overview, Refusal> {
        let sight = self.look(targets, deadline).await?;
        if !targets.ids.is_empty() {
            sight.suffices(targets)?;
        }
        let (schedule_set, now) = (&sight.schedule_set, sight.now);
        let world = World::unasked(schedule_set, &sight.fleet.instances);
        let (shown, unmanaged) =
            for_status(targets, EvaluatedInstance::all(&world, now), schedule_set)
                .map_err(|error| sight.selecting(error))?;
        Ok(Overview {
            status: Status::of(shown, unmanaged, now),
            unanswered: sight.unanswered,
        })
    }

    pub(crate) async fn schedules(&self, days: Option<Days>) -> Result<Schedules, Refusal> {
        let schedule_set = self
            .configuration
            .current(&self.clock, FRESH)
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
        Ok(Schedules {
            at: whole_second(now),
            schedules: schedules.collect(),
        })
    }

    pub(crate) async fn change(
        &self,
        ask: RequestKind,
        targets: &InstanceSelector,
        mode: Mode,
        by: Actor,
        deadline: Deadline,
    ) -> Result<Changes, Refusal> {
        let sight = self.look(targets, deadline.for_looking()).await?;
        sight.suffices(targets)?;
        let (schedule_set, now) = (&*sight.schedule_set, sight.now);
        let world = World::unasked(schedule_set, &sight.fleet.instances);
        let seen = EvaluatedInstance::all(&world, now);
        let selection = for_change(targets, &seen, schedule_set, self.request_limit)
            .map_err(|error| sight.selecting(error))?;
        let request =
            DecidedRequest::decide(&selection, schedule_set, &sight.fleet, (ask, by), now);
        let (instances, error) = match mode {
            Mode::DryRun => (request.dry_run(), None),
            Mode::Act => {
                let outcomes = request.carry_out(&self.clock, deadline).await;
                let tell = |error: &CloudError| presentable(&error.to_string());
                (request.changes(&outcomes, tell), failure(&outcomes))
            }
        };
        Ok(Changes {
            at: whole_second(now),
            instances,
            error: error.or_else(|| sight.unreached(targets)),
            unanswered: sight.unanswered.clone(),
        })
    }

    /// Logs the change. A pass follows only where something wants another state at every moment: an active override, or a schedule
    /// that is enforced; anything else waits for its edge, and changes in flight for their end.
    pub(crate) async fn state_changed(
        &self,
        change: &StateChange,
        deadline: Deadline,
    ) -> Result<Option<PassReport>, Refusal> {
        let StateChange {
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
        let in_force = self.configuration.current(&self.clock, FRESH).await?;
        let organisation = self.account_regions.of(&in_force.targets);
        // Only the home region's changes come here: the other members have their passes.
        let Some(home) = organisation.account_region(&self.account_regions.home_account_region())
        else {
            info!(instance = %id, %to, at, region, "transition");
            return Ok(None);
        };
        let scope = Scope::Only([id.clone()].into());
        let instances = home.fleet().observe(&scope).await?;
        let (schedule_set, now) = (&in_force.schedule_set, self.clock.now());
        let world = World::unasked(schedule_set, &instances);
        let Some(seen) = EvaluatedInstance::all(&world, now).pop() else {
            warn!(instance = %id, %to, at, region, "transition of an instance that EC2 does not show");
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
        let firm = assessment.override_.is_some()
            || schedule.is_some_and(|schedule| schedule.enforcement == Enforcement::Enforced);
        let contradicts = matches!(
            (seen.instance.state, assessment.desired),
            (InstanceState::Running, Desired::Stopped) | (InstanceState::Stopped, Desired::Running)
        );
        if !(firm && contradicts) {
            return Ok(None);
        }
        let work = Work {
            instance: Some(id.clone()),
            ..Work::over(home.account_region.clone(), minute_of(now))
        };
        Ok(Some(self.undo(event, &work, deadline).await?))
    }
}

/// One refusal for all that could not even be recorded, or not be remembered: the first one's kind, and how many they are. What
/// is recorded and came to nothing is tried again: no refusal.
fn failure(outcomes: &[Outcome]) -> Option<Refusal> {
    let mut failures = outcomes.iter().filter_map(|outcome| {
        let refusal = match &outcome.result {
            // A newer word decided: that is no failure.
            StepResult::Done { .. } | StepResult::Dropped { .. } => return None,
            StepResult::Failed(_) | StepResult::OutOfTime if outcome.said => return None,
            StepResult::NotRemembered { error, .. } | StepResult::Failed(error) => error.into(),
            StepResult::OutOfTime => Refusal::new(
                Code::OutOfTime,
                "time ran out before everything was done",
                "ask again: what is done already is not done twice",
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
