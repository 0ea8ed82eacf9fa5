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
use crate::fleet::{Fleet, Scope};

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

    /// From its next edge on, a plan is not what anybody wants any more: what EC2's pace leaves undone until then (it starts
    /// two instances a second) is decided afresh.
    fn outdated(&self, clock: &Clock) -> Option<Instant> {
        let left = self.plan.next_edge?.duration_since(clock.now());
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
    let at = clock.now();
    let world = World {
        governance,
        instances: &instances,
        request: wake_up.request.as_ref(),
        woken_for: wake_up.schedule,
    };
    let plan = plan(&world, at);
    Ok(Pass {
        at,
        instances,
        plan,
        outcomes: Vec::new(),
    })
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
        let mut pass = look(fleet, governance, wake_up, clock).await?;
        let steps = pass.plan.steps.clone();
        let deadline = pass
            .outdated(clock)
            .map_or(deadline, |at| deadline.no_later_than(at));
        pass.outcomes = execute(fleet, &pass.instances, steps, deadline).await;
        info!(
            instances = pass.instances.len(),
            steps = pass.outcomes.len(),
            failures = pass.failures(),
            next_edge = pass.plan.next_edge.map(|at| at.to_string()),
            "pass finished"
        );
        Ok(pass)
    }
    .instrument(span)
    .await
}
