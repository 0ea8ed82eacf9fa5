//! One pass: observe → plan → execute → record. The Lambda, the daemon and the command line all run this one.

use curfew_core::instance::Instance;
use curfew_core::plan::Plan;
use curfew_core::request::Request;
use curfew_core::schedule::ScheduleName;
use curfew_core::schedule_set::ScheduleSet;
use jiff::Timestamp;
use tokio::time::Instant;
use tracing::{Instrument, info, info_span};

use crate::clock::Clock;
use crate::error::CloudError;
use crate::execute::{Basis, Deadline, Order, Outcome, StepResult, execute};
use crate::fleet::{Fleet, Observation, PageToken, Scope};

/// What makes a pass happen, and over what. It carries no decision.
#[derive(Clone, Debug)]
pub struct PassTrigger<'a> {
    /// Which instances are looked at.
    pub scope: Scope,
    /// What a person or program asked for.
    pub request: Option<Request>,
    /// The schedule that a rule or timer named.
    pub schedule: Option<&'a ScheduleName>,
}

impl PassTrigger<'_> {
    /// A look at everything, for no particular reason.
    pub const ROUTINE: Self = Self {
        scope: Scope::All,
        request: None,
        schedule: None,
    };

    /// What a pass of this trigger decides by.
    pub fn basis<'b>(&'b self, schedule_set: &'b ScheduleSet, clock: &'b Clock) -> Basis<'b> {
        Basis {
            schedule_set,
            request: self.request.as_ref(),
            triggered_for: self.schedule,
            clock,
        }
    }
}

/// What one pass saw, decided and did.
#[derive(Debug)]
pub struct Pass {
    /// The instant of its decisions.
    pub at: Timestamp,
    /// What EC2 said before anything was done.
    pub instances: Vec<Instance>,
    /// When the observation of each of them began.
    pub begun: Vec<Instant>,
    /// What was decided.
    pub plan: Plan,
    /// How each step of the plan went.
    pub outcomes: Vec<Outcome>,
}

impl Pass {
    /// Decides about what was seen, at this instant.
    pub fn decide(seen: Observation, basis: Basis<'_>, at: Timestamp) -> Self {
        let Observation { instances, begun } = seen;
        let plan = basis.plan(&instances, at);
        Self {
            at,
            instances,
            begun,
            plan,
            outcomes: Vec::new(),
        }
    }

    /// Carries the plan out, by what it was made of. Nothing is called or written after `deadline`, nor after the plan's next
    /// edge; and what EC2's pace holds up for more than a few seconds is looked at and decided about again before its call.
    pub async fn carry_out(&mut self, fleet: &Fleet, basis: Basis<'_>, deadline: Deadline) {
        let order = Order {
            plan: &self.plan,
            instances: &self.instances,
            begun: &self.begun,
            basis,
        };
        self.outcomes = execute(fleet, order, deadline).await;
        info!(
            instances = self.instances.len(),
            steps = self.outcomes.len(),
            failures = self.failures(),
            dropped = self.dropped(),
            next_edge = self.plan.next_edge.map(|at| at.to_string()),
            "pass finished"
        );
    }

    /// How many steps did not go as planned.
    pub fn failures(&self) -> usize {
        self.count(|result| !matches!(result, StepResult::Done { .. } | StepResult::Dropped { .. }))
    }

    /// How many steps were decided otherwise by the time of their turn.
    pub fn dropped(&self) -> usize {
        self.count(|result| matches!(result, StepResult::Dropped { .. }))
    }

    fn count(&self, counts: impl Fn(&StepResult) -> bool) -> usize {
        let outcomes = self.outcomes.iter();
        outcomes.filter(|outcome| counts(&outcome.result)).count()
    }

    /// Whether time ran out before every step had its turn.
    pub fn is_unfinished(&self) -> bool {
        let left = |outcome: &Outcome| matches!(outcome.result, StepResult::OutOfTime);
        self.outcomes.iter().any(left)
    }

    /// Whether not one step had its turn.
    pub fn did_nothing(&self) -> bool {
        let left = |outcome: &Outcome| matches!(outcome.result, StepResult::OutOfTime);
        self.outcomes.iter().all(left)
    }
}

/// Looks and decides, and does nothing.
pub async fn look(
    fleet: &Fleet,
    schedule_set: &ScheduleSet,
    trigger: PassTrigger<'_>,
    clock: &Clock,
) -> Result<Pass, CloudError> {
    let seen = fleet.look(&trigger.scope).await?;
    let basis = trigger.basis(schedule_set, clock);
    Ok(Pass::decide(seen, basis, clock.now()))
}

/// Looks, decides, and does it.
pub async fn pass(
    fleet: &Fleet,
    schedule_set: &ScheduleSet,
    trigger: PassTrigger<'_>,
    clock: &Clock,
    deadline: Deadline,
) -> Result<Pass, CloudError> {
    let span = info_span!("pass", region = %fleet.region());
    async {
        // Boxed: the layers around them nest deeper than the compiler lays out in one piece.
        let mut pass = Box::pin(look(fleet, schedule_set, trigger.clone(), clock)).await?;
        let basis = trigger.basis(schedule_set, clock);
        Box::pin(pass.carry_out(fleet, basis, deadline)).await;
        Ok(pass)
    }
    .instrument(span)
    .await
}

/// A pass over one page of all instances, and the token of the next page. Instances are judged independently, so each page's
/// pass is complete: a caller without time left continues with the next page later, or hands it on.
pub async fn pass_page(
    fleet: &Fleet,
    schedule_set: &ScheduleSet,
    schedule: Option<&ScheduleName>,
    from: Option<&PageToken>,
    clock: &Clock,
    deadline: Deadline,
) -> Result<(Pass, Option<PageToken>), CloudError> {
    let span = info_span!("pass", region = %fleet.region());
    async {
        let page = fleet.observe_page(from).await?;
        let trigger = PassTrigger {
            schedule,
            ..PassTrigger::ROUTINE
        };
        let basis = trigger.basis(schedule_set, clock);
        let mut pass = Pass::decide(page.seen, basis, clock.now());
        Box::pin(pass.carry_out(fleet, basis, deadline)).await;
        Ok((pass, page.next))
    }
    .instrument(span)
    .await
}
