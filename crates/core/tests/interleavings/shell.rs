//! What the shells do with core's decisions: the calls and the writes of a step, in their order.

use std::collections::{BTreeMap, HashMap};

use curfew_core::memory::{
    Actor, LAST_TAG, Last, OVERRIDE_TAG, Override, REQUEST_TAG, RETRY_TAG, Requested,
};
use curfew_core::plan::{Plan, plan};
use curfew_core::request::{Ask, Lasting, Request};
use curfew_core::schedule_set::ScheduleSet;
use curfew_core::skip::SkipReason;
use curfew_core::step::{Remember, RetryChange, Step};
use curfew_core::timetable::Action;
use curfew_core::world::World;

use crate::machine::{Machine, Pace, Second, TagSets, instant, second};
use crate::search::Quickly;

/// The rules that the shells keep, not `plan`. Each can be switched off: the exploration must then find the fault
/// that the rule is there for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// A call is sent only while its observation is fresh.
    pub(crate) fresh_eyes: bool,
    /// `curfew:last` is read again right before it is written, and nothing older is written over it.
    pub(crate) rereads_last: bool,
    /// Passes delete no person's tag.
    pub(crate) keeps_peoples_tags: bool,
}

/// One thing that is done for a step, whole or not at all.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Operation {
    Call(Action),
    /// `CreateTags`.
    Create(Vec<(String, String)>),
    /// `DeleteTags` by key.
    Delete(Vec<String>),
}

/// A step, by its place among the steps met so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct StepId(u16);

/// What a pass makes of an observation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Planned {
    pub(crate) step: Option<StepId>,
    /// When the pass ends.
    pub(crate) ends: Second,
    /// Whether nothing is done because EC2 refused it a moment ago.
    pub(crate) waits: bool,
}

/// What made a pass happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Trigger {
    Heartbeat,
    /// The rule of the schedule's own edge.
    Schedule,
}

/// A word of a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Word {
    Start,
    Stop,
    /// An override, until an instant.
    Keep(Kept, Second),
    Resume,
}

/// What an override keeps the instance at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Kept {
    Running,
    Stopped,
    Ignored,
}

/// Core, and what has been asked of it so far: `plan` is pure, so that an answer is worked out once.
pub(crate) struct Shell {
    schedule_set: ScheduleSet,
    rules: Rules,
    pub(crate) tags: TagSets,
    steps: Vec<KnownStep>,
    step_ids: HashMap<String, StepId>,
    plans: HashMap<(Machine, Second, Trigger), Planned, Quickly>,
}

struct KnownStep {
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

    pub(crate) fn plan(&mut self, machine: Machine, now: Second, trigger: Trigger) -> Planned {
        if let Some(known) = self.plans.get(&(machine, now, trigger)) {
            return *known;
        }
        let tags = self.tags.get(machine.tags);
        let instances = [machine.observed(tags)];
        let name = self.schedule_set.schedules.keys().next();
        let world = World {
            triggered_for: name.filter(|_| trigger == Trigger::Schedule),
            ..World::unasked(&self.schedule_set, &instances)
        };
        let Plan {
            steps,
            skipped,
            outdated_at,
            ..
        } = plan(&world, instant(now));
        let override_is_over = override_in(tags).is_some_and(|kept| second(kept.until) <= now);
        let also_deletes =
            (override_is_over && !self.rules.keeps_peoples_tags).then_some(OVERRIDE_TAG);
        let waits = |reason: &SkipReason| matches!(reason, SkipReason::WaitingToRetry { .. });
        let planned = Planned {
            ends: outdated_at.map_or(Second::MAX, second),
            waits: skipped.iter().any(|skip| waits(&skip.reason)),
            step: steps.first().map(|step| self.id(step, also_deletes)),
        };
        self.plans.insert((machine, now, trigger), planned);
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
        self.steps.push(KnownStep {
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

    /// A step in words.
    pub(crate) fn text(&self, id: StepId) -> &str {
        &self.steps[usize::from(id.0)].text
    }

    /// What is done for a step, or once EC2 refused its call.
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

    /// A write to the tags. What would put `curfew:last` back is left out.
    pub(crate) fn write(&mut self, machine: Machine, operation: &Operation) -> Machine {
        let tags = match operation {
            Operation::Create(set) => {
                let there = self.tags.get(machine.tags).get(LAST_TAG);
                let there = there
                    .map(String::as_str)
                    .filter(|_| self.rules.rereads_last);
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

    /// A pass that nothing interrupts, and whose call takes effect at once.
    pub(crate) fn pass(&mut self, mut machine: Machine, now: Second) -> (Machine, Planned) {
        let planned = self.plan(machine, now, Trigger::Heartbeat);
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

    /// A person's word is written to the instance's tags; also given: its instant. What comes of it is any pass's business, so that
    /// the one that the request makes itself is a pass like others.
    pub(crate) fn say(&mut self, machine: Machine, word: Word, now: Second) -> (Machine, Second) {
        let mut tags = self.tags.get(machine.tags).clone();
        let instances = [machine.observed(&tags)];
        let ask = match word {
            Word::Start => Ask::Start(Lasting::NextEdge),
            Word::Stop => Ask::Stop(Lasting::NextEdge),
            Word::Keep(Kept::Running, until) => Ask::Start(Lasting::Until(instant(until))),
            Word::Keep(Kept::Stopped, until) => Ask::Stop(Lasting::Until(instant(until))),
            Word::Keep(Kept::Ignored, until) => Ask::Ignore {
                until: instant(until),
            },
            Word::Resume => Ask::Resume,
        };
        let request = Request {
            ask,
            targets: [instances[0].id.clone()].into(),
            by: Actor::new("alice"),
        };
        let asked = World {
            request: Some(&request),
            ..World::unasked(&self.schedule_set, &instances)
        };
        let plan = plan(&asked, instant(now));
        let step = plan.steps.first().expect("a person's word is a step");
        let spoken = step.word.as_ref().expect("which says it");
        spoken.write_to(&mut tags);
        let at = match word {
            Word::Keep(..) => override_in(&tags).expect("the override").since,
            Word::Start | Word::Stop | Word::Resume => request_in(&tags).expect("it").at,
        };
        let said = Machine {
            tags: self.tags.id(tags),
            ..machine
        };
        let own_pass = operations(step);
        let any_pass = self.plan(said, now, Trigger::Heartbeat);
        let any_pass = any_pass
            .step
            .map_or(&[][..], |step| &self.steps[usize::from(step.0)].accepted);
        assert!(
            any_pass.starts_with(&own_pass),
            "a request's own pass does what any pass does: {own_pass:?}, {any_pass:?}"
        );
        (said, second(at))
    }

    pub(crate) fn last(&self, machine: Machine) -> Option<Last> {
        read(self.tags.get(machine.tags).get(LAST_TAG))
    }
}

/// What a `CreateTags` makes of `curfew:last`.
pub(crate) fn last_in(set: &[(String, String)]) -> Option<Last> {
    read(
        set.iter()
            .find(|(key, _)| key == LAST_TAG)
            .map(|(_, value)| value),
    )
}

fn override_in(tags: &BTreeMap<String, String>) -> Option<Override> {
    read(tags.get(OVERRIDE_TAG))
}

fn request_in(tags: &BTreeMap<String, String>) -> Option<Requested> {
    read(tags.get(REQUEST_TAG))
}

fn read<T: std::str::FromStr>(value: Option<&String>) -> Option<T> {
    value.map(|value| value.parse().ok().expect("a tag that Curfew wrote"))
}

/// The first memory, the call, and what is remembered of it.
fn operations(step: &Step) -> Vec<Operation> {
    let first = step.adopt.as_ref();
    let first = first.map(|last| Operation::Create(vec![(LAST_TAG.to_owned(), last.to_string())]));
    let call = step.action.action().map(Operation::Call);
    let mut all: Vec<Operation> = first.into_iter().chain(call).collect();
    all.extend(writes(&step.remember));
    all
}

fn refusal(step: &Step) -> Vec<Operation> {
    let refused = step.if_refused;
    refused.map_or_else(Vec::new, |next| writes(&Remember::refused(next, "Refused")))
}

fn writes(remember: &Remember) -> Vec<Operation> {
    let last = remember.last.as_ref();
    let last = last.map(|last| (LAST_TAG.to_owned(), last.to_string()));
    let (retry, removed) = match &remember.retry {
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
