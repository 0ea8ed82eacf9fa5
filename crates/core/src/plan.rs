//! `plan(&World, now) -> Plan`: decides about all instances, as a pure function.
//!
//! Triggers may be late, doubled or missing: each plan is computed from what EC2 reports. Execution makes no choices, and a plan
//! computed after a successful execution has no steps.

use jiff::Timestamp;
use serde::Serialize;

use crate::assess::decide;
use crate::decision::Decision;
use crate::next_action::NextAction;
use crate::schedule_cache::ScheduleCache;
use crate::skip::Skip;
use crate::step::Step;
use crate::world::World;

/// The steps that a pass executes, and the instances that it skips with the reasons.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Plan {
    /// The instant of the decision.
    pub at: Timestamp,
    /// The steps, in the order of the observed instances.
    pub steps: Vec<Step>,
    /// Every observed instance that has no step.
    pub skipped: Vec<Skip>,
    /// The earliest instant at which something is due for an observed instance after the steps: an edge, the end of an override, or
    /// the next attempt of a failed action.
    pub next: Option<NextAction>,
    /// The instant at which the plan becomes outdated: the earliest edge or end of an override. Execution stops there, and the next
    /// pass decides again. The next attempt of a failed action does not count, since it outdates no other step.
    #[serde(skip)]
    pub valid_until: Option<Timestamp>,
}

/// Decides what to do about every instance of `world` at `now`.
pub fn plan(world: &World<'_>, now: Timestamp) -> Plan {
    let mut plan = Plan {
        at: now,
        steps: Vec::new(),
        skipped: Vec::new(),
        next: None,
        valid_until: None,
    };
    let earlier = |one: Option<Timestamp>, other| [one, other].into_iter().flatten().min();
    let mut views = ScheduleCache::new(world.schedule_set);
    for instance in world.instances {
        let evaluation = decide(instance, views.managing(instance), world, now);
        let due = plan.next.into_iter().chain(evaluation.next_due);
        plan.next = NextAction::earliest(due);
        plan.valid_until = earlier(plan.valid_until, evaluation.valid_until);
        match evaluation.decision {
            Decision::Step(step) => plan.steps.push(step),
            Decision::Skip(skip) => plan.skipped.push(skip),
        }
    }
    plan
}
