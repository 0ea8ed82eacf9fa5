//! Carrying out steps wherever their instances are.

use curfew_core::govern::Governance;
use curfew_core::instance::Instance;
use curfew_core::membership::Member;
use curfew_core::plan::Step;

use super::Organisation;
use crate::asked;
use crate::clock::Clock;
use crate::execute::{Deadline, Outcome, execute};
use crate::side_by_side::side_by_side;

impl Organisation {
    /// Carries out each member's steps, the members side by side; `instances` are what the steps were decided on.
    pub async fn execute(
        &self,
        instances: &[Instance],
        steps: Vec<(Member, Vec<Step>)>,
        deadline: Deadline,
    ) -> Vec<Outcome> {
        let work = steps.into_iter().map(|(member, steps)| {
            let known = self.member(&member);
            let known = known.expect("steps come from a look at these members");
            execute(known.fleet(), instances, steps, deadline)
        });
        let outcomes = side_by_side(work, Self::SIDE_BY_SIDE).await;
        outcomes.into_iter().flatten().collect()
    }

    /// Carries out what a request came to, likewise: what people say is written first.
    pub async fn carry_out_asked(
        &self,
        governance: &Governance,
        instances: &[Instance],
        steps: Vec<(Member, Vec<Step>)>,
        clock: &Clock,
        deadline: Deadline,
    ) -> Vec<Outcome> {
        let work = steps.into_iter().map(|(member, steps)| {
            let known = self.member(&member);
            let known = known.expect("steps come from a look at these members");
            asked::carry_out(known.fleet(), governance, instances, steps, clock, deadline)
        });
        let outcomes = side_by_side(work, Self::SIDE_BY_SIDE).await;
        outcomes.into_iter().flatten().collect()
    }
}
