//! `plan(&World, now) -> Plan`: the whole of Curfew's judgement, as a pure function.
//!
//! A trigger may be late, doubled or missing: a plan is made afresh from what EC2 says. Execution makes no choices, and a plan
//! made after a successful one has no steps.

use jiff::Timestamp;
use serde::Serialize;

use crate::assess::decide;
use crate::decision::Decision;
use crate::skip::Skip;
use crate::step::Step;
use crate::view::Views;
use crate::world::World;

/// What a pass is about to do, and what it leaves alone and why.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Plan {
    /// The instant of the decision.
    pub at: Timestamp,
    /// In the order of the instances observed.
    pub steps: Vec<Step>,
    /// Every instance that was looked at and has no step.
    pub skipped: Vec<Skip>,
    /// The earliest instant at which an observed instance is next due for something, once the steps are done: an edge, an
    /// override's end, or another try of what came to nothing.
    pub next_edge: Option<Timestamp>,
    /// From then on the plan is not what anybody wants any more: the earliest edge or override's end. Whoever carries it out
    /// ends there, and decides afresh. Another try of what came to nothing outdates no other step, and is none of these.
    #[serde(skip)]
    pub outdated_at: Option<Timestamp>,
}

/// Decides what to do about every instance of `world` at `now`.
pub fn plan(world: &World<'_>, now: Timestamp) -> Plan {
    let mut plan = Plan {
        at: now,
        steps: Vec::new(),
        skipped: Vec::new(),
        next_edge: None,
        outdated_at: None,
    };
    let earlier = |one: Option<Timestamp>, other| [one, other].into_iter().flatten().min();
    let mut views = Views::new(world.schedule_set);
    for instance in world.instances {
        let judged = decide(instance, views.managing(instance), world, now);
        plan.next_edge = earlier(plan.next_edge, judged.next_due);
        plan.outdated_at = earlier(plan.outdated_at, judged.outdated_at);
        match judged.decision {
            Decision::Step(step) => plan.steps.push(step),
            Decision::Skip(skip) => plan.skipped.push(skip),
        }
    }
    plan
}
