//! Executes plans in their account-regions.

use curfew_core::account_regions::AccountRegion;

use super::Organisation;
use crate::execute::{Basis, Deadline};
use crate::join_bounded::join_bounded;
use crate::pass::Pass;

impl Organisation {
    /// Executes each account-region's plan, concurrently. `basis` must be the one of the plans; each is executed until its
    /// own next edge.
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
                let known = known.expect("every plan is for one of these account-regions");
                pass.carry_out(known.fleet(), basis, deadline).await;
                (account_region, pass)
            });
        join_bounded(work, Self::MAX_IN_FLIGHT).await
    }
}
