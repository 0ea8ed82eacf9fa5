//! Evaluates one instance: which schedule manages it, what its state tags hold, what is due, and therefore what to do.

mod decide;
mod directive;
mod evaluator;
mod fallback_order;
mod requested;
mod retry;
mod tag_state;

use std::borrow::Cow;

use jiff::Timestamp;

use self::evaluator::Evaluator;
use self::tag_state::TagState;
use crate::decision::Decision;
use crate::instance::{Instance, InstanceState, Purchase, ResourceKind, RootDevice};
use crate::next_action::NextAction;
use crate::owner::Owner;
use crate::request::Request;
use crate::schedule::Schedule;
use crate::schedule_cache::CachedSchedule;
use crate::skip::{Skip, SkipReason};
use crate::state_tags::{Cause, Fallback, LastApplied, Override, RecordedRequest, Retry};
use crate::step::{Step, StepAction};
use crate::timetable::{Desired, Edge};
use crate::world::World;

/// The evaluation of one instance at one instant: the decision, and the facts that it depends on.
#[derive(Clone, Debug)]
pub struct Assessment<'a> {
    /// The schedule that manages the instance, if there is one.
    pub schedule: Option<Cow<'a, Schedule>>,
    /// The override in force.
    pub override_: Option<Override>,
    /// The request that remains in force until the next edge of an enforced schedule.
    pub request: Option<RecordedRequest>,
    /// The newest directive applied to the instance: the value of `curfew:last`.
    pub last: Option<LastApplied>,
    /// The failed action that waits for its next attempt: the value of `curfew:retry`.
    pub retry: Option<Retry>,
    /// The fallback in force: the instance's current type, and the type it returns to.
    pub fallback: Option<Fallback>,
    /// The desired state: that of the override in force, else of the request in force, else of the schedule.
    pub desired: Desired,
    /// The next edge, or the next attempt of a failed action, after the decision is executed.
    pub next_edge: Option<Edge>,
    /// When something is next due: the next edge, or the end of an override after which nothing changes.
    pub next_due: Option<NextAction>,
    /// The step to execute, or the reason why there is none.
    pub decision: Decision,
}

/// Evaluates one instance of `world` at `now`.
pub fn assess<'a>(instance: &Instance, world: &World<'a>, now: Timestamp) -> Assessment<'a> {
    let cached_schedule = world
        .schedule_set
        .schedule_for(instance)
        .map(CachedSchedule::new);
    let borrowed = cached_schedule.as_ref().map_err(Clone::clone);
    let evaluation = decide(instance, borrowed, world, now);
    let tags = TagState::of(instance, now);
    let fallback = cached_schedule.as_ref().ok().and_then(|cached_schedule| {
        let in_force = tags.fallback_in_force(instance, cached_schedule.schedule());
        in_force.cloned()
    });
    Assessment {
        retry: tags.valid_retry().cloned(),
        fallback,
        override_: evaluation.override_,
        request: evaluation.request,
        last: tags.last.ok().flatten(),
        desired: evaluation.desired,
        next_edge: evaluation.next_edge,
        next_due: evaluation.next_due,
        decision: evaluation.decision,
        schedule: cached_schedule.ok().map(CachedSchedule::into_schedule),
    }
}

/// The decision about one instance, and the instants at which it changes.
pub(crate) struct Evaluation {
    pub(crate) decision: Decision,
    /// The override in force.
    pub(crate) override_: Option<Override>,
    /// The request in force on an enforced schedule.
    pub(crate) request: Option<RecordedRequest>,
    pub(crate) desired: Desired,
    pub(crate) next_edge: Option<Edge>,
    pub(crate) next_due: Option<NextAction>,
    pub(crate) valid_until: Option<Timestamp>,
}

impl Evaluation {
    /// A skip after which nothing becomes due for the instance, whatever its desired state is.
    fn skipped(
        instance: &Instance,
        reason: SkipReason,
        scheduled: Desired,
        now: Timestamp,
    ) -> Self {
        let override_ = TagState::of(instance, now).active_override(now).cloned();
        Self {
            decision: Decision::Skip(skip(instance, reason)),
            desired: override_
                .as_ref()
                .map_or(scheduled, |override_| override_.state.desired()),
            override_,
            request: None,
            next_edge: None,
            next_due: None,
            valid_until: None,
        }
    }
}

/// Decides about an instance that `cached_schedule` manages; an `Err` is the reason why no schedule does.
pub(crate) fn decide(
    instance: &Instance,
    cached_schedule: Result<&CachedSchedule<'_>, SkipReason>,
    world: &World<'_>,
    now: Timestamp,
) -> Evaluation {
    let cached_schedule = match cached_schedule {
        Ok(cached_schedule) => cached_schedule,
        Err(reason) => {
            let evaluation = Evaluation::skipped(instance, reason, Desired::Unmanaged, now);
            return Evaluation {
                desired: Desired::Unmanaged,
                ..evaluation
            };
        }
    };
    if let Some(reason) = protection_reason(instance) {
        return Evaluation::skipped(instance, reason, cached_schedule.desired(now), now);
    }
    let tags = TagState::of(instance, now);
    let request = world.request.filter(|request| request.applies_to(instance));
    let owner = Owner::of(instance);
    let is_named = cached_schedule
        .schedule()
        .matcher
        .ids
        .contains(&instance.id)
        || request.is_some()
        || tags.active_override(now).is_some();
    // An instance that another tool manages is acted on only if its id is named: in its schedule's `match.ids`, by an override in
    // force, or by a request. A request allows only its own action, until that is done.
    let left_to = |owner: &Owner| {
        let reason = SkipReason::Owned(owner.clone());
        Evaluation::skipped(instance, reason, cached_schedule.desired(now), now)
    };
    if let Some(owner) = owner.as_ref()
        && !is_named
        && !tags.has_open_request()
    {
        return left_to(owner);
    }
    let mut evaluation = evaluate(instance, cached_schedule, &tags, request, now);
    let for_a_request = matches!(
        &evaluation.decision,
        Decision::Step(Step {
            cause: Cause::Request(_),
            ..
        })
    );
    if let Some(owner) = owner.as_ref()
        && !is_named
        && !for_a_request
    {
        return left_to(owner);
    }
    if let (Decision::Step(step), Some(owner)) = (&mut evaluation.decision, owner)
        && step.action != StepAction::Record
    {
        step.remark(format!("named by its id, although {owner} manages it"));
    }
    evaluation
}

/// Evaluates the instance as its tags will be once the request, if there is one, is recorded in them.
fn evaluate(
    instance: &Instance,
    cached_schedule: &CachedSchedule<'_>,
    tags: &TagState,
    request: Option<&Request>,
    now: Timestamp,
) -> Evaluation {
    let Some(request) = request else {
        return Evaluator::new(instance, cached_schedule, tags, now).evaluate();
    };
    let request_tags = requested::request_tags(request, instance, cached_schedule, tags, now);
    let mut with_request = instance.clone();
    request_tags.write_to(&mut with_request.tags);
    let tags = TagState::of(&with_request, now);
    let evaluator = Evaluator::new(&with_request, cached_schedule, &tags, now);
    let evaluation = evaluator.evaluate();
    Evaluation {
        decision: evaluator.with_request_tags(request_tags, evaluation.decision),
        ..evaluation
    }
}

/// Returns why Curfew never starts or stops the instance: EC2 can't do it, or the instance would not survive it.
fn protection_reason(instance: &Instance) -> Option<SkipReason> {
    match instance.state {
        InstanceState::ShuttingDown | InstanceState::Terminated => {
            return Some(SkipReason::Terminated);
        }
        InstanceState::Other => {
            return Some(SkipReason::UnknownState {
                word: instance.state_word.clone().unwrap_or_default(),
            });
        }
        InstanceState::Pending
        | InstanceState::Running
        | InstanceState::Stopping
        | InstanceState::Stopped => {}
    }
    if instance.root_device == RootDevice::InstanceStore {
        return Some(SkipReason::InstanceStore);
    }
    match &instance.purchase {
        Purchase::OnDemand | Purchase::PersistentSpot => None,
        Purchase::OneTimeSpot => Some(SkipReason::OneTimeSpot),
        Purchase::UnknownSpot { problem } => Some(SkipReason::UnknownSpot {
            problem: problem.clone(),
        }),
    }
}

fn skip(instance: &Instance, reason: SkipReason) -> Skip {
    Skip {
        instance: instance.id.clone(),
        kind: ResourceKind::Instance,
        name: instance.name().map(str::to_owned),
        region: instance.region.clone(),
        state: instance.state,
        detail: reason.detail(instance),
        reason,
    }
}
