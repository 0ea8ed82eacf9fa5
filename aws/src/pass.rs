//! One pass: observe → plan → execute → record. The Lambda, the daemon and the command line all run this one.

use curfew_core::govern::Governance;
use curfew_core::instance::Instance;
use curfew_core::plan::{Plan, World, plan};
use curfew_core::request::Request;
use curfew_core::schedule::ScheduleName;
use jiff::Timestamp;
use tokio::time::Instant;
use tracing::{Instrument, info, info_span};

use crate::clock::Clock;
use crate::error::CloudError;
use crate::execute::{Deadline, Outcome, StepResult, execute};
use crate::fleet::{Fleet, PageToken, Scope};

/// What makes a pass happen, and over what. It carries no decision.
#[derive(Clone, Debug)]
pub struct WakeUp<'a> {
    /// Which instances are looked at.
    pub scope: Scope,
    /// What a person or program asked for.
    pub request: Option<Request>,
    /// The schedule that a rule or timer named.
    pub schedule: Option<&'a ScheduleName>,
}

impl WakeUp<'_> {
    /// A look at everything, for no particular reason.
    pub const ROUTINE: Self = Self {
        scope: Scope::All,
        request: None,
        schedule: None,
    };
}

/// What one pass saw, decided and did.
#[derive(Debug)]
pub struct Pass {
    /// The instant of its decisions.
    pub at: Timestamp,
    /// What EC2 said before anything was done.
    pub instances: Vec<Instance>,
    /// What was decided.
    pub plan: Plan,
    /// How each step of the plan went.
    pub outcomes: Vec<Outcome>,
}

impl Pass {
    /// How many steps did not go as planned.
    pub fn failures(&self) -> usize {
        self.outcomes
            .iter()
            .filter(|outcome| !matches!(outcome.result, StepResult::Done { .. }))
            .count()
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

    async fn carry_out(&mut self, fleet: &Fleet, clock: &Clock, deadline: Deadline) {
        let deadline = self
            .outdated(clock)
            .map_or(deadline, |at| deadline.no_later_than(at));
        let steps = self.plan.steps.clone();
        self.outcomes = execute(fleet, &self.instances, steps, deadline).await;
        info!(
            instances = self.instances.len(),
            steps = self.outcomes.len(),
            failures = self.failures(),
            next_edge = self.plan.next_edge.map(|at| at.to_string()),
            "pass finished"
        );
    }

    /// From its next edge or the end of a hold on, a plan is not what anybody wants any more: what EC2's pace leaves undone until
    /// then (it starts two instances a second) is decided afresh.
    fn outdated(&self, clock: &Clock) -> Option<Instant> {
        let left = self.plan.outdated_at?.duration_since(clock.now());
        Some(Instant::now() + left.try_into().unwrap_or_default())
    }
}

/// Looks and decides, and does nothing.
pub async fn look(
    fleet: &Fleet,
    governance: &Governance,
    wake_up: WakeUp<'_>,
    clock: &Clock,
) -> Result<Pass, CloudError> {
    let instances = fleet.observe(&wake_up.scope).await?;
    Ok(decide(instances, governance, &wake_up, clock))
}

fn decide(
    instances: Vec<Instance>,
    governance: &Governance,
    wake_up: &WakeUp<'_>,
    clock: &Clock,
) -> Pass {
    let at = clock.now();
    let world = World {
        governance,
        instances: &instances,
        request: wake_up.request.as_ref(),
        woken_for: wake_up.schedule,
    };
    let plan = plan(&world, at);
    Pass {
        at,
        instances,
        plan,
        outcomes: Vec::new(),
    }
}

/// Looks, decides, and does it.
pub async fn pass(
    fleet: &Fleet,
    governance: &Governance,
    wake_up: WakeUp<'_>,
    clock: &Clock,
    deadline: Deadline,
) -> Result<Pass, CloudError> {
    let span = info_span!("pass", region = %fleet.region());
    async {
        // Boxed: the layers around them nest deeper than the compiler lays out in one piece.
        let mut pass = Box::pin(look(fleet, governance, wake_up, clock)).await?;
        Box::pin(pass.carry_out(fleet, clock, deadline)).await;
        Ok(pass)
    }
    .instrument(span)
    .await
}

/// A pass over one page of everything, and where the next one begins. Every instance is judged for itself, so that each page's
/// pass is whole: whoever has no time left goes on with the next page later, or leaves it to somebody else.
pub async fn pass_page(
    fleet: &Fleet,
    governance: &Governance,
    schedule: Option<&ScheduleName>,
    from: Option<&PageToken>,
    clock: &Clock,
    deadline: Deadline,
) -> Result<(Pass, Option<PageToken>), CloudError> {
    let span = info_span!("pass", region = %fleet.region());
    async {
        let page = fleet.observe_page(from).await?;
        let wake_up = WakeUp {
            schedule,
            ..WakeUp::ROUTINE
        };
        let mut pass = decide(page.instances, governance, &wake_up, clock);
        Box::pin(pass.carry_out(fleet, clock, deadline)).await;
        Ok((pass, page.next))
    }
    .instrument(span)
    .await
}
