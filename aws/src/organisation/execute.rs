//! Carrying out steps wherever their instances are.

use curfew_core::membership::Member;
use curfew_core::plan::Step;

use super::Organisation;
use crate::execute::{Deadline, Outcome, execute};
use crate::side_by_side::side_by_side;

impl Organisation {
    /// Steps of one member that are begun together: full batches, and few enough that whoever waits sees it move.
    const AT_ONCE: usize = 1000;

    /// Carries out each member's steps, the members side by side; `progress` is told of every few that are through.
    pub async fn execute(
        &self,
        steps: Vec<(Member, Vec<Step>)>,
        deadline: Deadline,
        progress: impl Fn(usize),
    ) -> Vec<Outcome> {
        let progress = &progress;
        let work = steps.iter().map(async |(member, steps)| {
            let known = self.member(member);
            let fleet = &known
                .expect("steps come from a look at these members")
                .fleet;
            let mut outcomes = Vec::with_capacity(steps.len());
            for some in steps.chunks(Self::AT_ONCE) {
                outcomes.extend(execute(fleet, some.to_vec(), deadline).await);
                progress(some.len());
            }
            outcomes
        });
        let outcomes = side_by_side(work, Self::SIDE_BY_SIDE).await;
        outcomes.into_iter().flatten().collect()
    }
}
