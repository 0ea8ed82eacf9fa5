//! The execution of core's decisions: the calls and the writes of a step, in their order.

use std::collections::{BTreeMap, HashMap};

use curfew_core::plan::{Plan, plan};
use curfew_core::request::{Request, RequestDuration, RequestKind};
use curfew_core::schedule_set::ScheduleSet;
use curfew_core::skip::SkipReason;
use curfew_core::state_tags::{
    Actor, LAST_TAG, LastApplied, OVERRIDE_TAG, Override, REQUEST_TAG, RETRY_TAG, RecordedRequest,
};
use curfew_core::step::{RetryChange, Step, TagChanges};
use curfew_core::timetable::Action;
use curfew_core::world::World;

use crate::machine::{Machine, Pace, Second, TagSets, instant, second};
use crate::search::FastHasher;

/// The rules of the execution, which `plan` can't enforce. Each can be switched off: the exploration must then find the violation
/// that the rule prevents.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// A call is sent only while its observation is recent.
    pub(crate) fresh_observation: bool,
    /// `curfew:last` is read again right before it is written, and nothing older is written over it.
    pub(crate) rereads_last_applied: bool,
    /// Passes delete no request and override tags.
    pub(crate) keeps_person_tags: bool,
}

/// One atomic operation of a step.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Operation {
    Call(Action),
    /// `CreateTags` with these keys and values.
    Create(Vec<(String, String)>),
    /// `DeleteTags` by key.
    Delete(Vec<String>),
}

/// A step, by its index among the steps found so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct StepId(u16);

/// The decision of a pass about an observation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Planned {
    pub(crate) step: Option<StepId>,
    /// The instant at which the pass ends.
    pub(crate) ends: Second,
    /// Whether nothing is done because EC2 refused the call recently.
    pub(crate) waits: bool,
}

/// The trigger of a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Trigger {
    Heartbeat,
    /// The rule of the schedule's own edge.
    Schedule,
}

/// A request with its instants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum PersonRequest {
    Start,
    Stop,
    /// An override, until an instant.
    Keep(OverrideTarget, Second),
    Resume,
}

/// The state that an override demands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum OverrideTarget {
    Running,
    Stopped,
    Ignored,
}

/// Core with a cache of its decisions: `plan` is pure, so that each is computed once.
pub(crate) struct Shell {
    schedule_set: ScheduleSet,
    rules: Rules,
    pub(crate) tags: TagSets,
    steps: Vec<CachedStep>,
    step_ids: HashMap<String, StepId>,
    plans: HashMap<(Machine, Second), Planned, FastHasher>,
}

struct CachedStep {
    text: String,
    accepted: Vec<Operation>,
    refused: Vec<Operation>,
}

impl Shell {
    pub(crate) fn new(schedule_set: ScheduleSet, rules: Rules) -> Self {
        Self {
            schedule_set,
            rules,
            tags: TagSets::default(),
            steps: Vec::new(),
            step_ids: HashMap::new(),
            plans: HashMap::default(),
        }
    }

    pub(crate) fn plan(&mut self, machine: Machine, now: Second) -> Planned {
        if let Some(known) = self.plans.get(&(machine, now)) {
            return *known;
        }
        let tags = self.tags.get(machine.tags);
        let instances = [machine.observed(tags)];
        let world = World::without_request(&self.schedule_set, &instances);
        let Plan {
            steps,
            skipped,
            valid_until,
            ..
        } = plan(&world, instant(now));
        let override_is_over = override_in(tags).is_some_and(|kept| second(kept.until) <= now);
        let also_deletes =
            (override_is_over && !self.rules.keeps_person_tags).then_some(OVERRIDE_TAG);
        let waits = |reason: &SkipReason| matches!(reason, SkipReason::WaitingToRetry { .. });
        let planned = Planned {
            ends: valid_until.map_or(Second::MAX, second),
            waits: skipped.iter().any(|skip| waits(&skip.reason)),
            step: steps.first().map(|step| self.id(step, also_deletes)),
        };
        self.plans.insert((machine, now), planned);
        planned
    }

    fn id(&mut self, step: &Step, also_deletes: Option<&str>) -> StepId {
        let key = format!("{step:?} {also_deletes:?}");
        if let Some(id) = self.step_ids.get(&key) {
            return *id;
        }
        let id = StepId(u16::try_from(self.steps.len()).expect("fewer steps than states"));
        let mut accepted = operations(step);
        accepted.extend(also_deletes.map(|key| Operation::Delete(vec![key.to_owned()])));
        let remark = step.note.as_ref().map(|note| format!("; {note}"));
        self.steps.push(CachedStep {
            text: format!(
                "{} ({}{})",
                step.action,
                step.cause,
                remark.unwrap_or_default()
            ),
            accepted,
            refused: refusal(step),
        });
        self.step_ids.insert(key, id);
        id
    }

    /// The description of a step for traces.
    pub(crate) fn text(&self, id: StepId) -> &str {
        &self.steps[usize::from(id.0)].text
    }

    /// The operations of a step, or those after EC2 refused its call.
    pub(crate) fn operations(&self, id: StepId, refused: bool) -> &[Operation] {
        let step = &self.steps[usize::from(id.0)];
        if refused {
            &step.refused
        } else {
            &step.accepted
        }
    }

    pub(crate) fn calls(&self, id: StepId) -> bool {
        let mut operations = self.operations(id, false).iter();
        operations.any(|operation| matches!(operation, Operation::Call(_)))
    }

    /// Writes to the tags, unless `curfew:last` would go back.
    pub(crate) fn write(&mut self, machine: Machine, operation: &Operation) -> Machine {
        let tags = match operation {
            Operation::Create(set) => {
                let there = self.tags.get(machine.tags).get(LAST_TAG);
                let there = there
                    .map(String::as_str)
                    .filter(|_| self.rules.rereads_last_applied);
                let new = last_in(set);
                if new.is_some_and(|new| !new.may_be_written_over(there, None)) {
                    machine.tags
                } else {
                    self.tags.create(machine.tags, set)
                }
            }
            Operation::Delete(keys) => self.tags.delete(machine.tags, keys),
            Operation::Call(_) => machine.tags,
        };
        Machine { tags, ..machine }
    }

    /// An uninterrupted pass, whose call takes effect at once.
    pub(crate) fn pass(&mut self, mut machine: Machine, now: Second) -> (Machine, Planned) {
        let planned = self.plan(machine, now);
        if let Some(step) = planned.step {
            for operation in self.operations(step, false).to_vec() {
                machine = match operation {
                    Operation::Call(action) => machine.called(action, now, Pace::AtOnce),
                    write => self.write(machine, &write),
                };
            }
        }
        (machine, planned)
    }

    /// Writes a request to the instance's tags, and returns its instant. Any later pass applies it; the pass of the request itself is
    /// like all others.
    pub(crate) fn write_request(
        &mut self,
        machine: Machine,
        kind: PersonRequest,
        now: Second,
    ) -> (Machine, Second) {
        let mut tags = self.tags.get(machine.tags).clone();
        let instances = [machine.observed(&tags)];
        let ask = match kind {
            PersonRequest::Start => RequestKind::Start(RequestDuration::NextEdge),
            PersonRequest::Stop => RequestKind::Stop(RequestDuration::NextEdge),
            PersonRequest::Keep(OverrideTarget::Running, until) => {
                RequestKind::Start(RequestDuration::Until(instant(until)))
            }
            PersonRequest::Keep(OverrideTarget::Stopped, until) => {
                RequestKind::Stop(RequestDuration::Until(instant(until)))
            }
            PersonRequest::Keep(OverrideTarget::Ignored, until) => RequestKind::Ignore {
                until: instant(until),
            },
            PersonRequest::Resume => RequestKind::Resume,
        };
        let request = Request {
            kind: ask,
            targets: [instances[0].id.clone()].into(),
            by: Actor::new("alice"),
        };
        let world = World {
            request: Some(&request),
            ..World::without_request(&self.schedule_set, &instances)
        };
        let plan = plan(&world, instant(now));
        let step = plan.steps.first().expect("a request is a step");
        let request_tags = step.request_tags.as_ref().expect("the tags of the request");
        request_tags.write_to(&mut tags);
        let at = match kind {
            PersonRequest::Keep(..) => override_in(&tags).expect("the override").since,
            PersonRequest::Start | PersonRequest::Stop | PersonRequest::Resume => {
                request_in(&tags).expect("the request").at
            }
        };
        let requested = Machine {
            tags: self.tags.id(tags),
            ..machine
        };
        let own_pass = operations(step);
        let any_pass = self.plan(requested, now);
        let any_pass = any_pass
            .step
            .map_or(&[][..], |step| &self.steps[usize::from(step.0)].accepted);
        assert!(
            any_pass.starts_with(&own_pass),
            "a request's own pass does what any pass does: {own_pass:?}, {any_pass:?}"
        );
        (requested, second(at))
    }

    pub(crate) fn last(&self, machine: Machine) -> Option<LastApplied> {
        read(self.tags.get(machine.tags).get(LAST_TAG))
    }
}

/// What a `CreateTags` makes of `curfew:last`.
pub(crate) fn last_in(set: &[(String, String)]) -> Option<LastApplied> {
    read(
        set.iter()
            .find(|(key, _)| key == LAST_TAG)
            .map(|(_, value)| value),
    )
}

fn override_in(tags: &BTreeMap<String, String>) -> Option<Override> {
    read(tags.get(OVERRIDE_TAG))
}

fn request_in(tags: &BTreeMap<String, String>) -> Option<RecordedRequest> {
    read(tags.get(REQUEST_TAG))
}

fn read<T: std::str::FromStr>(value: Option<&String>) -> Option<T> {
    value.map(|value| value.parse().ok().expect("a tag that Curfew wrote"))
}

/// The operations of a step: the first `curfew:last`, the call, and the record.
fn operations(step: &Step) -> Vec<Operation> {
    let first = step.initial_tag.as_ref();
    let first = first.map(|last| Operation::Create(vec![(LAST_TAG.to_owned(), last.to_string())]));
    let call = step.action.action().map(Operation::Call);
    let mut all: Vec<Operation> = first.into_iter().chain(call).collect();
    all.extend(writes(&step.tag_changes));
    all
}

fn refusal(step: &Step) -> Vec<Operation> {
    let refused = step.if_refused;
    refused.map_or_else(Vec::new, |next| {
        writes(&TagChanges::refused(next, "Refused"))
    })
}

fn writes(changes: &TagChanges) -> Vec<Operation> {
    let last = changes.last.as_ref();
    let last = last.map(|last| (LAST_TAG.to_owned(), last.to_string()));
    let (retry, removed) = match &changes.retry {
        RetryChange::Keep => (None, None),
        RetryChange::Set(retry) => (Some((RETRY_TAG.to_owned(), retry.to_string())), None),
        RetryChange::Clear => (None, Some(vec![RETRY_TAG.to_owned()])),
    };
    let set: Vec<(String, String)> = last.into_iter().chain(retry).collect();
    let create = (!set.is_empty()).then_some(Operation::Create(set));
    create
        .into_iter()
        .chain(removed.map(Operation::Delete))
        .collect()
}
