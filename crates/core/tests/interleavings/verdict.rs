//! The violations, and the check of a state in which nothing is in progress: the results of two passes, and of some later ones.

use std::fmt;

use curfew_core::schedule::Enforcement;
use curfew_core::state_tags::Cause;

use crate::machine::{Machine, Second, second};
use crate::model::{Exploration, FRESH, State};
use crate::people::{NewestDirective, Rank, edge, next_edge};
use crate::shell::Planned;

/// A forbidden result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Violation {
    DirectiveNotFollowed,
    OverrideNotFollowed,
    ConsoleUndone,
    NeverEmpty,
    CalledTwice,
    CalledAgain,
    NotRecorded,
    LastWentBack,
    Unsettled,
    UndoneLater,
    InstantNotNewer,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DirectiveNotFollowed => "the newest directive is not followed after two passes",
            Self::OverrideNotFollowed => "an override in force is not followed after two passes",
            Self::ConsoleUndone => {
                "a change in the console is undone, though the directive before it was recorded"
            }
            Self::NeverEmpty => "a third pass still plans something",
            Self::CalledTwice => "a second pass calls again",
            Self::CalledAgain => "a call for a directive that is recorded as done",
            Self::NotRecorded => "a request is not recorded after two passes",
            Self::LastWentBack => "`curfew:last` goes back",
            Self::Unsettled => "passes go on planning while nothing happens",
            Self::UndoneLater => {
                "the state of the newest directive is undone while nothing happens"
            }
            Self::InstantNotNewer => "a request is dated before the instants on the instance",
        })
    }
}

/// The offsets of the later passes: beyond the time that a directive is pending.
const LATER_PASSES: [Second; 6] = [16, 32, 48, 66, 84, 110];

impl Exploration {
    /// Runs two uninterrupted passes and some later ones, and returns the violations.
    pub(crate) fn verdict(&mut self, state: &State) -> Vec<Violation> {
        let now = self.now(state);
        let mut wrong = Vec::new();
        let (first, _) = self.shell.pass(state.machine, now);
        let (second_, planned) = self.shell.pass(first, now);
        if self.calls(planned) {
            wrong.push(Violation::CalledTwice);
        }
        let third = self.shell.plan(second_, now);
        if third.step.is_some() {
            wrong.push(Violation::NeverEmpty);
        }
        if let Some(violation) = self.unfollowed(state, second_, now) {
            wrong.push(violation);
        }
        let directive = state
            .requests
            .newest(self.effective_now(second_, &state.requests, now));
        if directive.rank == Rank::Person
            && directive.want.is_some()
            && !third.waits
            && !self.is_recorded(second_, directive)
        {
            wrong.push(Violation::NotRecorded);
        }
        let kept = state
            .requests
            .in_force(now)
            .map_or(Second::MAX, |kept| kept.until);
        let calm = next_edge(now).min(kept);
        let mut machine = second_;
        for later in LATER_PASSES.map(|later| now + later) {
            if later < calm {
                machine = self.shell.pass(machine, later).0;
                machine = self.shell.pass(machine, later).0;
                let last = self.shell.plan(machine, later);
                if last.step.is_some() {
                    wrong.push(Violation::Unsettled);
                    break;
                }
                if wrong.is_empty() && self.unfollowed(state, machine, later).is_some() {
                    wrong.push(Violation::UndoneLater);
                    break;
                }
            }
        }
        wrong
    }

    fn calls(&self, planned: Planned) -> bool {
        planned.step.is_some_and(|step| self.shell.calls(step))
    }

    /// Returns a violation if the instance has neither the state of the newest directive nor that of a later console change.
    fn unfollowed(&mut self, state: &State, machine: Machine, now: Second) -> Option<Violation> {
        if self.shell.plan(machine, now).waits {
            return None;
        }
        let directive = state
            .requests
            .newest(self.effective_now(machine, &state.requests, now));
        let followed = directive.want.is_none_or(|want| machine.power.is_at(want));
        if directive.in_force {
            return (!followed).then_some(Violation::OverrideNotFollowed);
        }
        if self.scenario.enforcement == Enforcement::Enforced {
            return (!followed).then_some(Violation::DirectiveNotFollowed);
        }
        match state
            .changed
            .filter(|changed| changed.directive == directive)
        {
            Some(change) => (change.recorded && !machine.power.is_at(change.to))
                .then_some(Violation::ConsoleUndone),
            None => {
                (!followed && !self.is_adopted(machine, directive) && !self.is_early(machine, now))
                    .then_some(Violation::DirectiveNotFollowed)
            }
        }
    }

    /// Whether a pass with an early trigger reached the state of the next edge, and died before it recorded that.
    fn is_early(&self, machine: Machine, now: Second) -> bool {
        let (at, action) = edge(next_edge(now));
        self.scenario.early && at - now <= FRESH && machine.power.is_at(action)
    }

    /// Whether the newest edge counts as past, since the instance was first observed after it.
    fn is_adopted(&self, machine: Machine, directive: NewestDirective) -> bool {
        let last = self.shell.last(machine);
        self.scenario.never_observed
            && directive.rank == Rank::Edge
            && last
                .is_some_and(|last| last.cause == Cause::Adopted && second(last.at) >= directive.at)
    }

    fn is_recorded(&self, machine: Machine, directive: NewestDirective) -> bool {
        self.shell
            .last(machine)
            .is_some_and(|last| second(last.at) >= directive.at)
    }
}
