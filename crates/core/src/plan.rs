//! `plan(&World, now) -> Plan`: the whole of Curfew's judgement, as a pure function.
//!
//! A wake-up may be late, doubled or missing: a plan is made afresh from what EC2 says. Execution makes no choices, and a plan
//! made after a successful one has no steps.

mod skip;
mod step;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::assess::decide;
use crate::govern::Governance;
use crate::instance::Instance;
use crate::request::Request;
use crate::schedule::ScheduleName;
use crate::view::Views;

pub use self::skip::{Skip, SkipCode, SkipReason, one_of};
pub use self::step::{
    FallbackChange, Remember, RetryChange, Step, StepAction, TypesToTry, WithoutMemory,
};

/// A scheduled wake-up that arrives up to this long before the edge it names counts as that edge. LocalStack fires up to a
/// minute early, AWS never does. Longer would let a wake-up for one edge apply the next.
pub const EARLY_WAKE_UP: SignedDuration = SignedDuration::from_secs(60);

/// Everything a decision depends on, except the instant.
#[derive(Clone, Debug)]
pub struct World<'a> {
    /// The schedules, and how they are bound to instances.
    pub governance: &'a Governance,
    /// What was observed in this pass: all instances, or only those that a request names.
    pub instances: &'a [Instance],
    /// What is asked for, if a person or program woke this pass: the instances that it is about are judged as if what the
    /// person says stood in their tags already. Their steps say what that is.
    pub request: Option<&'a Request>,
    /// The schedule that a rule or timer named when it woke this pass. It decides nothing: it lets an early wake-up count.
    pub woken_for: Option<&'a ScheduleName>,
}

impl<'a> World<'a> {
    /// A world in which nobody asked for anything, and no schedule's wake-up may count early.
    pub fn unasked(governance: &'a Governance, instances: &'a [Instance]) -> Self {
        Self {
            governance,
            instances,
            request: None,
            woken_for: None,
        }
    }
}

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
    let mut views = Views::new(world.governance);
    for instance in world.instances {
        let judged = decide(instance, views.governing(instance), world, now);
        plan.next_edge = earlier(plan.next_edge, judged.next_due);
        plan.outdated_at = earlier(plan.outdated_at, judged.outdated_at);
        match judged.decision {
            Decision::Step(step) => plan.steps.push(step),
            Decision::Skip(skip) => plan.skipped.push(skip),
        }
    }
    plan
}

/// What becomes of one instance.
#[derive(Clone, Debug, PartialEq)]
#[expect(
    clippy::large_enum_variant,
    reason = "it exists once an instance, and is taken apart at once"
)]
pub enum Decision {
    /// Something is done.
    Step(Step),
    /// Nothing is, for a reason.
    Skip(Skip),
}
