//! One pass: observe, plan, execute. The Lambda, the daemon and the command line all use this path.

use curfew_core::instance::Instance;
use curfew_core::plan::Plan;
use jiff::Timestamp;
use tokio::time::Instant;
use tracing::{Instrument, info, info_span};

use crate::error::CloudError;
use crate::execute::{Basis, Deadline, Outcome, PlanToExecute, StepResult, execute};
use crate::fleet::{Fleet, Observation, PageToken, Scope};

/// The observation, the plan and the outcomes of one pass.
#[derive(Debug)]
pub struct Pass {
    /// The instant of the plan.
    pub at: Timestamp,
    /// The instances as they were observed before any call.
    pub instances: Vec<Instance>,
    /// For each instance, when its observation began.
    pub begun: Vec<Instant>,
    /// The page after the observed one, if the scope is a page and more follow.
    pub next_page: Option<PageToken>,
    /// The steps, and the reasons why other instances have none.
    pub plan: Plan,
    /// The outcome of each step; empty for a dry run.
    pub outcomes: Vec<Outcome>,
}

impl Pass {
    /// Observes the instances of `scope` and plans. Changes nothing.
    ///
    /// # Errors
    ///
    /// If the instances can't be described.
    pub async fn dry_run(
        fleet: &Fleet,
        scope: &Scope,
        basis: Basis<'_>,
    ) -> Result<Self, CloudError> {
        let observation = fleet.observe(scope).await?;
        Ok(Self::decide(observation, basis, basis.clock.now()))
    }

    /// Observes the instances of `scope`, plans, and carries the plan out. Each instance is planned independently, so that a pass over
    /// one page is complete.
    ///
    /// # Errors
    ///
    /// If the instances can't be described; a failing step is an [`Outcome`].
    pub async fn run(
        fleet: &Fleet,
        scope: &Scope,
        basis: Basis<'_>,
        deadline: Deadline,
    ) -> Result<Self, CloudError> {
        async {
            // Boxed: the layers below nest deeper than the compiler lays out in one piece.
            let mut pass = Box::pin(Self::dry_run(fleet, scope, basis)).await?;
            Box::pin(pass.carry_out(fleet, basis, deadline)).await;
            Ok(pass)
        }
        .instrument(info_span!("pass", region = %fleet.region()))
        .await
    }

    /// Plans what was observed, at `at`.
    pub fn decide(observation: Observation, basis: Basis<'_>, at: Timestamp) -> Self {
        let Observation {
            instances,
            begun,
            next_page,
        } = observation;
        let plan = basis.plan(&instances, at);
        Self {
            at,
            instances,
            begun,
            next_page,
            plan,
            outcomes: Vec::new(),
        }
    }

    /// Carries the plan out; `basis` is what it was made of. Makes no call after `deadline` or after the plan's next edge. Observes and
    /// plans an instance again if EC2's rate limit delayed its call for more than a few seconds.
    pub async fn carry_out(&mut self, fleet: &Fleet, basis: Basis<'_>, deadline: Deadline) {
        let to_execute = PlanToExecute {
            plan: &self.plan,
            instances: &self.instances,
            observed_at: &self.begun,
            basis,
        };
        self.outcomes = execute(fleet, to_execute, deadline).await;
        info!(
            instances = self.instances.len(),
            steps = self.outcomes.len(),
            failures = self.failures(),
            dropped = self.dropped(),
            next = self.plan.next.map(|next| next.at.to_string()),
            "pass finished"
        );
    }

    /// The number of steps that failed or had no time.
    pub fn failures(&self) -> usize {
        self.count(|result| !matches!(result, StepResult::Done { .. } | StepResult::Dropped { .. }))
    }

    /// The number of steps that were planned differently by the time of their call.
    pub fn dropped(&self) -> usize {
        self.count(|result| matches!(result, StepResult::Dropped { .. }))
    }

    fn count(&self, counts: impl Fn(&StepResult) -> bool) -> usize {
        let outcomes = self.outcomes.iter();
        outcomes.filter(|outcome| counts(&outcome.result)).count()
    }

    /// Whether the deadline left out a step.
    pub fn is_unfinished(&self) -> bool {
        let left = |outcome: &Outcome| matches!(outcome.result, StepResult::OutOfTime);
        self.outcomes.iter().any(left)
    }

    /// Whether the deadline left out every step.
    pub fn did_nothing(&self) -> bool {
        let left = |outcome: &Outcome| matches!(outcome.result, StepResult::OutOfTime);
        self.outcomes.iter().all(left)
    }
}
