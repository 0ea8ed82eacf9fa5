//! One instance, looked at from every side: what manages it, what its tags remember, what is due, and so what to do.

mod decide;
mod directive;
mod evaluator;
mod requested;
mod retry;
mod tag_state;
mod types;

use std::borrow::Cow;

use jiff::Timestamp;

use self::evaluator::Evaluator;
use self::tag_state::TagState;
use crate::decision::Decision;
use crate::instance::{Instance, InstanceState, Purchase, RootDevice};
use crate::owner::Owner;
use crate::request::Request;
use crate::schedule::Schedule;
use crate::skip::{Skip, SkipReason};
use crate::state_tags::{Cause, Fallback, LastApplied, Override, RecordedRequest, Retry};
use crate::step::{Step, StepAction};
use crate::timetable::{Desired, Edge};
use crate::view::View;
use crate::world::World;

/// The judgement on one instance at one instant, with what it rests on.
#[derive(Clone, Debug)]
pub struct Assessment<'a> {
    /// The schedule that manages it, if one does.
    pub schedule: Option<Cow<'a, Schedule>>,
    /// The override in force.
    pub override_: Option<Override>,
    /// The request that stands on an enforced schedule until its next edge.
    pub request: Option<RecordedRequest>,
    /// The newest word applied to it.
    pub last: Option<LastApplied>,
    /// What EC2 refused lately, as far as it is remembered.
    pub retry: Option<Retry>,
    /// The fallback type that it has, and the one that it gets back.
    pub fallback: Option<Fallback>,
    /// What its override, or a request that stands, or else its schedule, wants now.
    pub desired: Desired,
    /// The next edge for it, or another try of what came to nothing, once the decision is carried out.
    pub next_edge: Option<Edge>,
    /// When something is next due for it: the next edge, or the end of its override where that changes nothing.
    pub next_due: Option<Timestamp>,
    /// What to do.
    pub decision: Decision,
}

/// Judges one instance of `world` at `now`.
pub fn assess<'a>(instance: &Instance, world: &World<'a>, now: Timestamp) -> Assessment<'a> {
    let view = world.schedule_set.schedule_for(instance).map(View::new);
    let borrowed = view.as_ref().map_err(Clone::clone);
    let evaluation = decide(instance, borrowed, world, now);
    let tags = TagState::of(instance, now);
    let fallback = view.as_ref().ok().and_then(|view| {
        let in_force = tags.fallback_in_force(instance, view.schedule());
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
        schedule: view.ok().map(View::into_schedule),
    }
}

/// What becomes of one instance, and when to look again.
pub(crate) struct Evaluation {
    pub(crate) decision: Decision,
    /// The override in force.
    pub(crate) override_: Option<Override>,
    /// The request that stands on an enforced schedule.
    pub(crate) request: Option<RecordedRequest>,
    pub(crate) desired: Desired,
    pub(crate) next_edge: Option<Edge>,
    pub(crate) next_due: Option<Timestamp>,
    pub(crate) outdated_at: Option<Timestamp>,
}

impl Evaluation {
    /// Nothing is ever due for it, whatever is wanted.
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
            outdated_at: None,
        }
    }
}

/// What to do about an instance that `view` manages (or why nothing does), and when something is next due for it.
pub(crate) fn decide(
    instance: &Instance,
    view: Result<&View<'_>, SkipReason>,
    world: &World<'_>,
    now: Timestamp,
) -> Evaluation {
    let view = match view {
        Ok(view) => view,
        Err(reason) => {
            let evaluation = Evaluation::skipped(instance, reason, Desired::Unmanaged, now);
            return Evaluation {
                desired: Desired::Unmanaged,
                ..evaluation
            };
        }
    };
    if let Some(reason) = protection_reason(instance) {
        return Evaluation::skipped(instance, reason, view.desired(now), now);
    }
    let tags = TagState::of(instance, now);
    let request = world.request.filter(|request| request.concerns(instance));
    let owner = Owner::of(instance);
    let is_named = view.schedule().matcher.ids.contains(&instance.id)
        || request.is_some()
        || tags.active_override(now).is_some();
    // Only a person who names this very instance has it acted on although another tool manages it: by its schedule's `match.ids`, by
    // an override in force, or by a request, and then for that request alone, until it is done.
    let left_to = |owner: &Owner| {
        let reason = SkipReason::Owned(owner.clone());
        Evaluation::skipped(instance, reason, view.desired(now), now)
    };
    if let Some(owner) = owner.as_ref()
        && !is_named
        && !tags.has_open_request()
    {
        return left_to(owner);
    }
    let mut evaluation = judge(instance, view, &tags, request, world, now);
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

fn judge(
    instance: &Instance,
    view: &View<'_>,
    tags: &TagState,
    request: Option<&Request>,
    world: &World<'_>,
    now: Timestamp,
) -> Evaluation {
    let Some(request) = request else {
        return Evaluator::new(instance, view, tags, world, now).evaluate();
    };
    let request_tags = requested::request_tags(request, instance, view, tags, now);
    let mut said = instance.clone();
    request_tags.write_to(&mut said.tags);
    let tags = TagState::of(&said, now);
    let evaluator = Evaluator::new(&said, view, &tags, world, now);
    let evaluation = evaluator.evaluate();
    Evaluation {
        decision: evaluator.with_request_tags(request_tags, evaluation.decision),
        ..evaluation
    }
}

/// Why EC2 can't stop and start the instance, or may not be asked to, whoever wants it.
fn protection_reason(instance: &Instance) -> Option<SkipReason> {
    match instance.state {
        InstanceState::ShuttingDown | InstanceState::Terminated => return Some(SkipReason::Gone),
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
        name: instance.name().map(str::to_owned),
        region: instance.region.clone(),
        state: instance.state,
        detail: reason.detail(instance),
        reason,
    }
}
