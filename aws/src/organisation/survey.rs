//! What all members answered, and who did not.

use curfew_core::membership::Member;
use curfew_core::plan::Plan;
use jiff::Timestamp;

use super::{MemberError, MemberFleet};
use crate::pass::Pass;

/// What all members answered, and who did not: one failing account or region takes nothing from the others.
#[derive(Debug)]
pub struct Survey<T> {
    /// The answers, in the order of the members.
    pub answers: Vec<(MemberFleet, T)>,
    /// The others.
    pub failures: Vec<MemberError>,
}

/// The passes of all members as one.
#[derive(Debug)]
pub struct Whole {
    /// Everything seen, planned and done.
    pub pass: Pass,
    /// Who answered, and with how many instances: in the order of the pass's instances.
    pub members: Vec<(Member, usize)>,
    /// Who did not answer.
    pub failures: Vec<MemberError>,
}

impl Survey<Pass> {
    /// All passes as one, of the latest instant of theirs; the first failure, if nobody answered.
    pub fn whole(mut self) -> Result<Whole, MemberError> {
        let answers = self.answers.iter();
        let members = answers.map(|(one, pass)| (one.member.clone(), pass.instances.len()));
        let members = members.collect();
        let passes = self.answers.into_iter().map(|(_, pass)| pass);
        match passes.reduce(joined) {
            Some(pass) => Ok(Whole {
                pass,
                members,
                failures: self.failures,
            }),
            None => Err(self.failures.swap_remove(0)),
        }
    }
}

fn joined(mut all: Pass, one: Pass) -> Pass {
    all.at = all.at.max(one.at);
    all.instances.extend(one.instances);
    all.outcomes.extend(one.outcomes);
    let Plan {
        at,
        steps,
        skipped,
        next_edge,
        outdated_at,
    } = one.plan;
    all.plan.at = all.plan.at.max(at);
    all.plan.steps.extend(steps);
    all.plan.skipped.extend(skipped);
    let earlier = |one: Option<Timestamp>, other| [one, other].into_iter().flatten().min();
    all.plan.next_edge = earlier(all.plan.next_edge, next_edge);
    all.plan.outdated_at = earlier(all.plan.outdated_at, outdated_at);
    all
}
