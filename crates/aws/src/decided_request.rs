//! A request as handled by the HTTP API and the command line: decided on an observed fleet, then previewed or executed, with
//! one change returned for each instance.

use std::collections::HashMap;

use curfew_core::instance::{Instance, InstanceId};
use curfew_core::request::{Request, RequestKind};
use curfew_core::schedule_set::ScheduleSet;
use curfew_core::select::{DecidedSelection, Selection};
use curfew_core::skip::Skip;
use curfew_core::state_tags::Actor;
use curfew_core::step::Step;
use curfew_core::world::World;
use jiff::Timestamp;

use crate::clock::Clock;
use crate::error::CloudError;
use crate::execute::{Deadline, Outcome};
use crate::organisation::ObservedFleet;
use crate::request_result::Change;

/// A request and the decision for each selected instance.
#[derive(Debug)]
pub struct DecidedRequest<'s, 'a> {
    schedule_set: &'a ScheduleSet,
    fleet: &'a ObservedFleet,
    request: Request,
    now: Timestamp,
    decided: DecidedSelection<'s, 'a>,
}

impl<'s, 'a> DecidedRequest<'s, 'a> {
    /// Decides, at `now`, the request `ask` for the instances of `selection`, which must be a selection from `fleet`.
    pub fn decide(
        selection: &Selection<'s, 'a>,
        schedule_set: &'a ScheduleSet,
        fleet: &'a ObservedFleet,
        (ask, by): (RequestKind, Actor),
        now: Timestamp,
    ) -> Self {
        let chosen = selection.chosen.iter();
        let request = Request {
            kind: ask,
            targets: chosen.map(|seen| seen.instance.id.clone()).collect(),
            by,
        };
        let decided = selection.decide(&requested(&request, schedule_set, fleet), now);
        Self {
            schedule_set,
            fleet,
            request,
            now,
            decided,
        }
    }

    /// The decided steps.
    pub fn steps(&self) -> &[Step] {
        &self.decided.steps
    }

    /// The first instance without a step.
    pub fn first_skip(&self) -> Option<&Skip> {
        self.decided.skipped.first().map(|(_, skip)| skip)
    }

    /// Returns the changes that executing the request would make, sorted by instance.
    pub fn dry_run(&self) -> Vec<Change> {
        let world = self.world();
        let by_id = self.by_id();
        let steps = self.decided.steps.iter();
        self.sorted(steps.map(|step| {
            let instance = observed(&by_id, step);
            Change::planned(instance, step, &world, self.now)
        }))
    }

    /// Executes the request in every account-region with a selected instance.
    pub async fn carry_out(&self, clock: &Clock, deadline: Deadline) -> Vec<Outcome> {
        let steps = self.decided.steps.clone();
        let work = self
            .fleet
            .carry_out(self.schedule_set, steps, clock, deadline);
        work.await
    }

    /// Converts outcomes to changes, sorted by instance; `tell` renders an error for the caller.
    pub fn changes(
        &self,
        outcomes: &[Outcome],
        tell: impl Fn(&CloudError) -> String,
    ) -> Vec<Change> {
        let world = self.world();
        let by_id = self.by_id();
        self.sorted(outcomes.iter().map(|outcome| {
            let instance = observed(&by_id, &outcome.step);
            Change::made(instance, outcome, &world, self.now, &tell)
        }))
    }

    fn world(&self) -> World<'_> {
        requested(&self.request, self.schedule_set, self.fleet)
    }

    fn by_id(&self) -> HashMap<&InstanceId, &Instance> {
        let instances = self.fleet.instances.iter();
        instances.map(|one| (&one.id, one)).collect()
    }

    /// `changes` and those of the skipped instances, sorted by instance.
    fn sorted(&self, changes: impl Iterator<Item = Change>) -> Vec<Change> {
        let skipped = self.decided.skipped.iter();
        let skipped =
            skipped.map(|(seen, skip)| Change::skipped(seen.instance, &seen.assessment, skip));
        let mut all: Vec<Change> = skipped.chain(changes).collect();
        all.sort_by(|a, b| a.id.cmp(&b.id));
        all
    }
}

/// The world in which `request` is decided.
fn requested<'w>(
    request: &'w Request,
    schedule_set: &'w ScheduleSet,
    fleet: &'w ObservedFleet,
) -> World<'w> {
    World {
        request: Some(request),
        ..World::without_request(schedule_set, &fleet.instances)
    }
}

fn observed<'a>(by_id: &HashMap<&InstanceId, &'a Instance>, step: &Step) -> &'a Instance {
    let found = by_id.get(&step.instance).copied();
    found.expect("every step is for an instance that was observed")
}
