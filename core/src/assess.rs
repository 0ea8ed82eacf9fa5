//! One instance, looked at from every side: what governs it, what holds it, what is due, and so what to do.

mod asked;
mod judge;
mod recall;
mod tries;
mod types;

use std::borrow::Cow;

use jiff::Timestamp;

use self::judge::Judge;
use self::recall::{Recalled, end_of_hold};
use crate::instance::{Instance, InstanceState, Purchase, RootDevice};
use crate::memory::{Fallback, Hold, Last, Retry};
use crate::plan::{Decision, HoldChange, Skip, SkipReason, World};
use crate::schedule::{ScalingGroups, Schedule};
use crate::timetable::{Desired, Edge};
use crate::view::View;

/// The judgement on one instance at one instant, with what it rests on.
#[derive(Clone, Debug)]
pub struct Assessment<'a> {
    /// The schedule that governs it, if one does.
    pub schedule: Option<Cow<'a, Schedule>>,
    /// The hold in force.
    pub hold: Option<Hold>,
    /// The newest edge applied to it.
    pub last: Option<Last>,
    /// What EC2 refused lately, as far as it is remembered.
    pub retry: Option<Retry>,
    /// The fallback type that it has, and the one that it gets back.
    pub fallback: Option<Fallback>,
    /// What its hold, or else its schedule, wants now.
    pub desired: Desired,
    /// The next instant at which something is due for it, once the decision is carried out.
    pub next_edge: Option<Edge>,
    /// What to do.
    pub decision: Decision,
}

/// Judges one instance of `world` at `now`.
pub fn assess<'a>(instance: &Instance, world: &World<'a>, now: Timestamp) -> Assessment<'a> {
    let recalled = Recalled::of(instance, now);
    let view = world.governance.schedule_for(instance).map(View::new);
    let borrowed = view.as_ref().map_err(Clone::clone);
    let (decision, next_edge) = judge(instance, borrowed, &recalled, world, now);
    let hold = recalled.active_hold(now).cloned();
    let desired = match (&hold, &view) {
        (_, Err(_)) => Desired::Unmanaged,
        (Some(hold), Ok(_)) => hold.state.desired(),
        (None, Ok(view)) => view.desired(now),
    };
    let fallback = view.as_ref().ok().and_then(|view| {
        let in_force = recalled.fallback_in_force(instance, view.schedule());
        in_force.cloned()
    });
    Assessment {
        retry: recalled.refused().cloned(),
        fallback,
        schedule: view.ok().map(View::into_schedule),
        hold,
        last: recalled.last.ok().flatten(),
        desired,
        next_edge,
        decision,
    }
}

/// What to do about an instance that `view` governs (or why nothing does), and when something is next due for it.
pub(crate) fn decide(
    instance: &Instance,
    view: Result<&View<'_>, SkipReason>,
    world: &World<'_>,
    now: Timestamp,
) -> (Decision, Option<Edge>) {
    let recalled = Recalled::of(instance, now);
    judge(instance, view, &recalled, world, now)
}

fn judge(
    instance: &Instance,
    view: Result<&View<'_>, SkipReason>,
    recalled: &Recalled,
    world: &World<'_>,
    now: Timestamp,
) -> (Decision, Option<Edge>) {
    let skip = |reason| (Decision::Skip(skip(instance, reason)), None);
    let view = match view {
        Ok(view) => view,
        Err(reason) => return skip(reason),
    };
    if let Some(reason) = never_touch(instance, view.schedule()) {
        return skip(reason);
    }
    let decision = Judge::new(instance, view, recalled, world, now).decide();
    let next_edge = upcoming(instance, view, recalled, &decision, now);
    (decision, next_edge)
}

/// When something is next due, once `decision` is carried out: what waits to be tried again, or the next edge.
fn upcoming(
    instance: &Instance,
    view: &View<'_>,
    recalled: &Recalled,
    decision: &Decision,
    now: Timestamp,
) -> Option<Edge> {
    let waiting = match decision {
        Decision::Skip(skip) => match skip.reason {
            SkipReason::WaitingToRetry { action, until, .. } => Some(Edge { at: until, action }),
            _ => None,
        },
        Decision::Step(_) => None,
    };
    let edge = upcoming_edge(instance, view, recalled, decision, now);
    waiting.into_iter().chain(edge).min_by_key(|edge| edge.at)
}

/// The next edge. Under a hold that can't be read, nothing is due.
fn upcoming_edge(
    instance: &Instance,
    view: &View<'_>,
    recalled: &Recalled,
    decision: &Decision,
    now: Timestamp,
) -> Option<Edge> {
    let hold = match decision {
        Decision::Skip(skip) if matches!(skip.reason, SkipReason::MalformedHold { .. }) => {
            return None;
        }
        Decision::Step(step) => match &step.remember.hold {
            HoldChange::Keep => recalled.active_hold(now),
            HoldChange::Set(hold) => Some(hold).filter(|hold| hold.is_active(now)),
            HoldChange::Clear => None,
        },
        Decision::Skip(_) => recalled.active_hold(now),
    };
    match hold {
        Some(hold) => end_of_hold(hold, view, recalled.dealt_with(instance))
            .or_else(|| view.next_edge(hold.until)),
        None => view.next_edge(now),
    }
}

fn never_touch(instance: &Instance, schedule: &Schedule) -> Option<SkipReason> {
    match instance.state {
        InstanceState::ShuttingDown | InstanceState::Terminated => return Some(SkipReason::Gone),
        InstanceState::Pending
        | InstanceState::Running
        | InstanceState::Stopping
        | InstanceState::Stopped => {}
    }
    if let (Some(group), ScalingGroups::LeaveAlone) =
        (instance.auto_scaling_group(), schedule.scaling_groups)
    {
        return Some(SkipReason::AutoScalingGroup {
            group: group.to_owned(),
        });
    }
    if instance.root_device == RootDevice::InstanceStore {
        return Some(SkipReason::InstanceStore);
    }
    (instance.purchase == Purchase::OneTimeSpot).then_some(SkipReason::OneTimeSpot)
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
