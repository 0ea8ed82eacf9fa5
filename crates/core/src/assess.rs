//! One instance, looked at from every side: what manages it, what its tags remember, what is due, and so what to do.

mod asked;
mod decide;
mod judge;
mod recall;
mod tries;
mod types;
mod words;

use std::borrow::Cow;

use jiff::Timestamp;

use self::judge::Judge;
use self::recall::Recalled;
use crate::decision::Decision;
use crate::instance::{Instance, InstanceState, Purchase, RootDevice};
use crate::memory::{Cause, Fallback, Last, Override, Requested, Retry};
use crate::owner::Owner;
use crate::request::Request;
use crate::schedule::Schedule;
use crate::skip::{Skip, SkipReason};
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
    pub request: Option<Requested>,
    /// The newest word applied to it.
    pub last: Option<Last>,
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
    let judged = decide(instance, borrowed, world, now);
    let recalled = Recalled::of(instance, now);
    let fallback = view.as_ref().ok().and_then(|view| {
        let in_force = recalled.fallback_in_force(instance, view.schedule());
        in_force.cloned()
    });
    Assessment {
        retry: recalled.refused().cloned(),
        fallback,
        override_: judged.override_,
        request: judged.request,
        last: recalled.last.ok().flatten(),
        desired: judged.desired,
        next_edge: judged.next_edge,
        next_due: judged.next_due,
        decision: judged.decision,
        schedule: view.ok().map(View::into_schedule),
    }
}

/// What becomes of one instance, and when to look again.
pub(crate) struct Judged {
    pub(crate) decision: Decision,
    /// The override in force.
    pub(crate) override_: Option<Override>,
    /// The request that stands on an enforced schedule.
    pub(crate) request: Option<Requested>,
    pub(crate) desired: Desired,
    pub(crate) next_edge: Option<Edge>,
    pub(crate) next_due: Option<Timestamp>,
    pub(crate) outdated_at: Option<Timestamp>,
}

impl Judged {
    /// Nothing is ever due for it, whatever is wanted.
    fn skipped(
        instance: &Instance,
        reason: SkipReason,
        scheduled: Desired,
        now: Timestamp,
    ) -> Self {
        let override_ = Recalled::of(instance, now).active_override(now).cloned();
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
) -> Judged {
    let view = match view {
        Ok(view) => view,
        Err(reason) => {
            let judged = Judged::skipped(instance, reason, Desired::Unmanaged, now);
            return Judged {
                desired: Desired::Unmanaged,
                ..judged
            };
        }
    };
    if let Some(reason) = never_touch(instance) {
        return Judged::skipped(instance, reason, view.desired(now), now);
    }
    let recalled = Recalled::of(instance, now);
    let request = world.request.filter(|request| request.concerns(instance));
    let owner = Owner::of(instance);
    let is_named = view.schedule().matcher.ids.contains(&instance.id)
        || request.is_some()
        || recalled.active_override(now).is_some();
    // Only a person who names this very instance has it acted on although another tool manages it: by its schedule's `match.ids`, by
    // an override in force, or by a request, and then for that request alone, until it is done.
    let left_to = |owner: &Owner| {
        let reason = SkipReason::Owned(owner.clone());
        Judged::skipped(instance, reason, view.desired(now), now)
    };
    if let Some(owner) = owner.as_ref()
        && !is_named
        && !recalled.has_open_request()
    {
        return left_to(owner);
    }
    let mut judged = judge(instance, view, &recalled, request, world, now);
    let for_a_request = matches!(
        &judged.decision,
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
    if let (Decision::Step(step), Some(owner)) = (&mut judged.decision, owner)
        && step.action != StepAction::Record
    {
        step.remark(format!("named by its id, although {owner} manages it"));
    }
    judged
}

fn judge(
    instance: &Instance,
    view: &View<'_>,
    recalled: &Recalled,
    request: Option<&Request>,
    world: &World<'_>,
    now: Timestamp,
) -> Judged {
    let Some(request) = request else {
        return Judge::new(instance, view, recalled, world, now).judge();
    };
    let spoken = asked::spoken(request, instance, view, recalled, now);
    let mut said = instance.clone();
    spoken.write_to(&mut said.tags);
    let recalled = Recalled::of(&said, now);
    let judge = Judge::new(&said, view, &recalled, world, now);
    let judged = judge.judge();
    Judged {
        decision: judge.requested(spoken, judged.decision),
        ..judged
    }
}

/// Why EC2 can't stop and start the instance, or may not be asked to, whoever wants it.
fn never_touch(instance: &Instance) -> Option<SkipReason> {
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
