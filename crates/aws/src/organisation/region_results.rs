//! The results of all account-regions, and the failures.

use curfew_core::account_regions::AccountRegion;
use curfew_core::next_action::NextAction;
use curfew_core::plan::Plan;
use jiff::Timestamp;

use super::{AccountRegionError, AccountRegionFleet};
use crate::pass::Pass;

/// The results of all account-regions, and the failures: a failing account or region doesn't affect the others.
#[derive(Debug)]
pub struct RegionResults<T> {
    /// The results, in the order of the account-regions.
    pub answers: Vec<(AccountRegionFleet, T)>,
    /// The account-regions without a result.
    pub failures: Vec<AccountRegionError>,
}

/// The passes of all account-regions joined to one.
#[derive(Debug)]
pub struct CombinedPass {
    /// The joined instances, plans and outcomes.
    pub pass: Pass,
    /// The account-regions that responded, each with its number of instances, in the order of the pass's instances.
    pub account_regions: Vec<(AccountRegion, usize)>,
    /// The account-regions that did not respond.
    pub failures: Vec<AccountRegionError>,
}

impl RegionResults<Pass> {
    /// The joined plan, at the latest of the plans' instants; none if no account-region responded.
    pub fn plan(&self) -> Option<Plan> {
        let plans = self.answers.iter().map(|(_, pass)| pass.plan.clone());
        plans.reduce(joined_plan)
    }

    /// Joins the passes, at the latest of their instants; returns the failures if no account-region responded.
    pub fn combined(self) -> Result<CombinedPass, Vec<AccountRegionError>> {
        let answers = self.answers.iter();
        let account_regions =
            answers.map(|(one, pass)| (one.account_region.clone(), pass.instances.len()));
        let account_regions = account_regions.collect();
        let passes = self.answers.into_iter().map(|(_, pass)| pass);
        match passes.reduce(joined) {
            Some(pass) => Ok(CombinedPass {
                pass,
                account_regions,
                failures: self.failures,
            }),
            None => Err(self.failures),
        }
    }
}

fn joined(mut all: Pass, one: Pass) -> Pass {
    all.at = all.at.max(one.at);
    all.instances.extend(one.instances);
    all.begun.extend(one.begun);
    all.outcomes.extend(one.outcomes);
    all.plan = joined_plan(all.plan, one.plan);
    all
}

fn joined_plan(mut all: Plan, one: Plan) -> Plan {
    let Plan {
        at,
        steps,
        skipped,
        next,
        valid_until,
    } = one;
    all.at = all.at.max(at);
    all.steps.extend(steps);
    all.skipped.extend(skipped);
    let earlier = |one: Option<Timestamp>, other| [one, other].into_iter().flatten().min();
    all.next = NextAction::earliest(all.next.into_iter().chain(next));
    all.valid_until = earlier(all.valid_until, valid_until);
    all
}
