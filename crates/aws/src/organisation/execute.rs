//! Carrying out what was decided, wherever its instances are.

use curfew_core::govern::Governance;
use curfew_core::instance::Instance;
use curfew_core::membership::Member;
use curfew_core::step::Step;

use super::Organisation;
use crate::asked;
use crate::clock::Clock;
use crate::execute::{Basis, Deadline, Outcome};
use crate::pass::Pass;
use crate::side_by_side::side_by_side;

impl Organisation {
    /// Carries out each member's plan, the members side by side: by what the plans were made of, and each until its own next
    /// edge.
    pub async fn carry_out(
        &self,
        passes: Vec<(Member, Pass)>,
        basis: Basis<'_>,
        deadline: Deadline,
    ) -> Vec<(Member, Pass)> {
        let work = passes.into_iter().map(|(member, mut pass)| async move {
            let known = self.member(&member);
            let known = known.expect("a plan comes from a look at these members");
            pass.carry_out(known.fleet(), basis, deadline).await;
            (member, pass)
        });
        side_by_side(work, Self::SIDE_BY_SIDE).await
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
