//! Carrying out what was decided, wherever its instances are.

use curfew_core::account_regions::AccountRegion;
use curfew_core::instance::Instance;
use curfew_core::schedule_set::ScheduleSet;
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
        passes: Vec<(AccountRegion, Pass)>,
        basis: Basis<'_>,
        deadline: Deadline,
    ) -> Vec<(AccountRegion, Pass)> {
        let work = passes
            .into_iter()
            .map(|(account_region, mut pass)| async move {
                let known = self.account_region(&account_region);
                let known = known.expect("a plan comes from a look at these members");
                pass.carry_out(known.fleet(), basis, deadline).await;
                (account_region, pass)
            });
        side_by_side(work, Self::SIDE_BY_SIDE).await
    }

    /// Carries out what a request came to, likewise: what people say is written first.
    pub async fn carry_out_asked(
        &self,
        schedule_set: &ScheduleSet,
        instances: &[Instance],
        steps: Vec<(AccountRegion, Vec<Step>)>,
        clock: &Clock,
        deadline: Deadline,
    ) -> Vec<Outcome> {
        let work = steps.into_iter().map(|(account_region, steps)| {
            let known = self.account_region(&account_region);
            let known = known.expect("steps come from a look at these members");
            asked::carry_out(
                known.fleet(),
                schedule_set,
                instances,
                steps,
                clock,
                deadline,
            )
        });
        let outcomes = side_by_side(work, Self::SIDE_BY_SIDE).await;
        outcomes.into_iter().flatten().collect()
    }
}
