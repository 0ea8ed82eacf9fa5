//! Carrying out a plan: batches side by side, the isolation of bad members, and the memory that is written afterwards.
//!
//! No choices are made here. What a step says is done, or its failure is reported.

mod batch;
mod deadline;
mod hibernation;
mod isolate;
mod memory;
mod outcome;
mod refusal;
mod report;
mod room;
mod trouble;
mod types;

use std::collections::{HashMap, VecDeque};

use curfew_core::instance::{Instance, InstanceId, InstanceState};
use curfew_core::plan::{Step, StepAction, WithoutMemory};
use tokio::task::JoinSet;
use tracing::Instrument;

use self::batch::{Answer, Batch, Call};
pub use self::deadline::Deadline;
use self::hibernation::NotHibernated;
use self::isolate::Families;
use self::memory::{Ledger, Writes};
pub use self::outcome::{Outcome, StepResult};
pub use self::refusal::refusal;
use self::room::Rooms;
use self::trouble::Trouble;
use self::types::Types;
use crate::error::{CloudError, CloudErrorKind};
use crate::fleet::{Fleet, StateChange};

/// Instances per `StartInstances`, `StopInstances` or `CreateTags`. AWS asks for "smaller batches"; a hundred keeps a call
/// under EC2's answer time and makes one bad member cost a handful of calls to isolate. Larger saves calls when all goes well
/// and loses more when it does not.
const BATCH: usize = 100;

/// Calls under way at once. EC2 answers a call for a hundred instances in a second or two, so that four keep up with the five
/// calls a second that it allows; more would only queue for its tokens.
const SIDE_BY_SIDE: usize = 4;

/// Carries out `steps` for some of `instances`, and reports each: in their order, and to the log.
///
/// - A batch's memory is written as soon as EC2 accepted it, and no batch is begun so late that there would be no time left
///   for that.
/// - A batch that is refused for one member's sake is split until the bad member stands alone; everyone else goes on.
/// - Where nothing can succeed any more (the credentials ran out, nobody answers, an action is not allowed at all), the rest
///   fails for that reason without a call each.
pub async fn execute(
    fleet: &Fleet,
    instances: &[Instance],
    steps: Vec<Step>,
    deadline: Deadline,
) -> Vec<Outcome> {
    let mut work = Execution::new(fleet, instances, &steps, deadline);
    // What a person says is the wish itself: it is written first, so that a failing call is tried again by a later pass.
    work.queue_words();
    work.run().await;
    work.queue_first_memories();
    work.run().await;
    work.queue_changes();
    work.queue_records();
    work.run().await;
    work.queue_plain_stops();
    work.run().await;
    work.try_other_types().await;
    work.queue_refusals();
    work.run().await;
    let (results, not_hibernated) = work.into_results();
    let mut outcomes: Vec<Outcome> = steps
        .into_iter()
        .zip(results)
        .map(|(step, (result, said))| Outcome { step, result, said })
        .collect();
    for (outcome, member) in outcomes.iter_mut().zip(0..) {
        not_hibernated.amend(member, &mut outcome.step);
    }
    outcomes.iter().for_each(report::log);
    outcomes
}

/// Writes what people say and nothing else. Returns the steps whose word stands, and what became of the others.
pub async fn say(
    fleet: &Fleet,
    instances: &[Instance],
    steps: Vec<Step>,
    deadline: Deadline,
) -> (Vec<Step>, Vec<Outcome>) {
    let mut work = Execution::new(fleet, instances, &steps, deadline);
    work.queue_words();
    work.run().await;
    let (results, _) = work.into_results();
    let (mut standing, mut unsaid) = (Vec::new(), Vec::new());
    for (step, (result, said)) in steps.into_iter().zip(results) {
        if said {
            standing.push(step);
        } else {
            unsaid.push(Outcome { step, result, said });
        }
    }
    unsaid.iter().for_each(report::log);
    (standing, unsaid)
}

/// The work of one plan. A *member* is a step, by its position in `steps`.
struct Execution<'a> {
    fleet: &'a Fleet,
    steps: &'a [Step],
    deadline: Deadline,
    progress: Vec<Progress>,
    /// Whose word is written.
    said: Vec<bool>,
    /// Why `curfew:last` can't be written here: then nothing more is done that would have to be remembered.
    unremembered: Option<CloudError>,
    queue: VecDeque<Batch>,
    families: Families,
    rooms: Rooms,
    types: Types,
    not_hibernated: NotHibernated,
    ledger: Ledger,
    trouble: Trouble,
}

/// How far a member is.
#[derive(Debug)]
enum Progress {
    /// Its call is still to come, or it needs none.
    Open,
    /// EC2 accepted its call, and this is its state.
    Accepted(InstanceState),
    /// It is over.
    Settled(StepResult),
}

/// How a batch ended, unless by being split into others.
#[derive(Clone, Copy, Debug)]
enum End<'a> {
    Accepted,
    Refused(&'a CloudError),
    /// Not asked, or asked and not answered.
    Unknown,
}

impl<'a> Execution<'a> {
    fn new(
        fleet: &'a Fleet,
        instances: &[Instance],
        steps: &'a [Step],
        deadline: Deadline,
    ) -> Self {
        let by_id: HashMap<&InstanceId, &Instance> =
            instances.iter().map(|one| (&one.id, one)).collect();
        let seen = steps.iter().map(|step| by_id.get(&step.instance).copied());
        let types = Types::of(steps.iter().zip(seen.clone()));
        Self {
            fleet,
            steps,
            deadline,
            progress: steps.iter().map(|_| Progress::Open).collect(),
            said: vec![false; steps.len()],
            unremembered: None,
            queue: VecDeque::new(),
            families: Families::default(),
            rooms: Rooms::of(seen),
            types,
            not_hibernated: NotHibernated::default(),
            ledger: Ledger::of(steps),
            trouble: Trouble::default(),
        }
    }

    fn queue_words(&mut self) {
        let steps = self.steps.iter().zip(0..);
        let wanting =
            steps.filter_map(|(step, member)| Some((Writes::word(step.word.as_ref()?), member)));
        for (writes, members) in memory::alike(wanting) {
            self.queue_back(&Call::Say(writes), &members);
        }
    }

    fn queue_first_memories(&mut self) {
        let steps = self.steps.iter().zip(&self.progress).zip(0..);
        let wanting = steps.filter_map(|((step, progress), member)| match progress {
            Progress::Open => Some((Writes::first(step.adopt.as_ref()?).mending(step), member)),
            Progress::Accepted(_) | Progress::Settled(_) => None,
        });
        for (writes, members) in memory::alike(wanting) {
            self.queue_back(&Call::Adopt(writes), &members);
        }
    }

    /// Members that will be remembered alike, and of the same type and zone, stand together: that makes for few tag writes,
    /// and for few batches in which a lack of capacity concerns some members only.
    fn queue_changes(&mut self) {
        for action in [StepAction::Start, StepAction::Stop, StepAction::Hibernate] {
            let members = self.open(action);
            let members = members.filter(|member| self.types.is_ready(*member));
            self.queue_change(action, members.collect());
        }
    }

    fn queue_change(&mut self, action: StepAction, mut members: Vec<usize>) {
        members.sort_by_key(|member| (self.ledger.group(*member), self.rooms.pool(*member)));
        for member in &members {
            self.ledger.expect(*member);
        }
        self.queue_back(&Call::Change(action), &members);
    }

    /// Steps without a call are remembered together with those that had one, where both are remembered alike.
    fn queue_records(&mut self) {
        let records: Vec<usize> = self.open(StepAction::Record).collect();
        for member in records {
            self.ledger.expect(member);
            self.ledger.accept(member);
        }
        for members in self.ledger.due() {
            for (call, members) in self.memory_of(&members) {
                self.queue_back(&call, &members);
            }
        }
    }

    fn open(&self, action: StepAction) -> impl Iterator<Item = usize> + '_ {
        (0..self.steps.len()).filter(move |member| {
            self.steps[*member].action == action && matches!(self.progress[*member], Progress::Open)
        })
    }

    fn queue_back(&mut self, call: &Call, members: &[usize]) {
        for members in members.chunks(BATCH) {
            self.trouble.expect(call);
            let batch = Batch::new(call.clone(), members.to_vec(), self.families.found());
            self.queue.push_back(batch);
        }
    }

    /// Makes the calls in the queue, and those that their answers ask for.
    async fn run(&mut self) {
        let mut under_way = JoinSet::new();
        loop {
            while under_way.len() < SIDE_BY_SIDE
                && let Some(batch) = self.next()
            {
                let ids = self.ids(&batch);
                let sent = batch.send(self.fleet.clone(), ids, self.deadline);
                under_way.spawn(sent.in_current_span());
            }
            match under_way.join_next().await {
                Some(Ok((batch, answer))) => self.take(&batch, answer),
                Some(Err(broken)) => std::panic::resume_unwind(broken.into_panic()),
                None => return,
            }
        }
    }

    /// The next batch that is worth a call now; what isn't is settled.
    fn next(&mut self) -> Option<Batch> {
        while let Some(batch) = self.queue.pop_front() {
            if let Some(error) = self.trouble.with(&batch.call) {
                self.fail(&batch, &batch.members, &error);
                self.ended(&batch, End::Unknown);
            } else if self.deadline.has_passed() && !batch.call.is_memory() {
                self.leave(&batch, &batch.members);
                self.ended(&batch, End::Unknown);
            } else if let Some(batch) = self
                .with_memory(batch)
                .and_then(|batch| self.with_room(batch))
                .and_then(|batch| self.in_time(batch))
            {
                return Some(batch);
            }
        }
        None
    }

    /// Takes those out of a batch that would have to be remembered where nothing can be: they would be called for at every pass.
    fn with_memory(&mut self, batch: Batch) -> Option<Batch> {
        let acts = matches!(batch.call, Call::Change(_) | Call::GiveType(_));
        let Some(error) = self.unremembered.as_ref().filter(|_| acts) else {
            return Some(batch);
        };
        let error = error.inferred();
        let (firm, others): (Vec<usize>, Vec<usize>) = batch
            .members
            .iter()
            .partition(|member| self.steps[**member].without_memory == WithoutMemory::Act);
        self.fail(&batch, &others, &error);
        if firm.is_empty() {
            self.ended(&batch, End::Unknown);
            return None;
        }
        Some(batch.of(firm))
    }

    /// What was done is remembered also after the deadline; what only needs remembering waits for the next pass.
    fn in_time(&mut self, batch: Batch) -> Option<Batch> {
        if !self.deadline.has_passed() {
            return Some(batch);
        }
        let (kept, left): (Vec<usize>, Vec<usize>) = batch
            .members
            .iter()
            .partition(|member| self.steps[**member].action != StepAction::Record);
        self.leave(&batch, &left);
        if kept.is_empty() {
            self.ended(&batch, End::Unknown);
            return None;
        }
        Some(batch.of(kept))
    }

    fn take(&mut self, batch: &Batch, answer: Answer) {
        match answer {
            Answer::Done(changes) => {
                self.trouble.accepted(&batch.call);
                self.accept(batch, &changes);
                self.ended(batch, End::Accepted);
            }
            Answer::TooSlow { affordable } if affordable == 0 || batch.members.len() == 1 => {
                self.leave(batch, &batch.members);
                self.ended(batch, End::Unknown);
            }
            Answer::TooSlow { affordable } => {
                // Not all of them, whatever rounding says: all of them were too many.
                let some = affordable.min(batch.members.len() - 1);
                let (now, later) = batch.members.split_at(some);
                self.leave(batch, later);
                self.queue.push_front(batch.of(now.to_vec()));
            }
            Answer::Failed(error) => self.refused(batch, &error),
        }
    }

    /// What is done about a refusal follows from whose fault it is.
    fn refused(&mut self, batch: &Batch, error: &CloudError) {
        match error.kind {
            CloudErrorKind::Capacity if batch.call == Call::Change(StepAction::Start) => {
                self.room_missing(batch, error);
            }
            // These calls are made for one instance each; whoever may not change one may not change any.
            CloudErrorKind::Denied if matches!(batch.call, Call::GiveType(_)) => {
                self.trouble.hopeless(&batch.call, error);
                self.isolate(batch, error);
            }
            CloudErrorKind::NotFound
            | CloudErrorKind::Denied
            | CloudErrorKind::Capacity
            | CloudErrorKind::WrongState
            | CloudErrorKind::Account
            | CloudErrorKind::Quota
            | CloudErrorKind::Refused => self.isolate(batch, error),
            CloudErrorKind::Throttled if batch.may_wait() => {
                let parts = batch.waiting(error);
                self.replace(batch, parts, Turn::Next);
            }
            CloudErrorKind::Throttled
            | CloudErrorKind::Unreachable
            | CloudErrorKind::Credentials
            | CloudErrorKind::Expired
            | CloudErrorKind::Service => {
                self.trouble.failed(error);
                self.fail(batch, &batch.members, error);
                self.ended(batch, End::Unknown);
            }
        }
    }

    /// Puts the parts of a batch in its place.
    fn replace(&mut self, batch: &Batch, parts: Vec<Batch>, turn: Turn) {
        self.rooms.split(batch, parts.len());
        match turn {
            Turn::Next => parts
                .into_iter()
                .rev()
                .for_each(|part| self.queue.push_front(part)),
            Turn::Last => self.queue.extend(parts),
        }
    }

    /// Whatever waits for the end of a batch goes on.
    fn ended(&mut self, batch: &Batch, end: End<'_>) {
        self.family_goes_on(batch, end);
        self.search_goes_on(batch, end);
    }

    /// EC2 answers for each instance; where an answer is missing, the call's own meaning stands in.
    fn accept(&mut self, batch: &Batch, changes: &[StateChange]) {
        let presumed = match batch.call {
            Call::Change(StepAction::Start) => InstanceState::Pending,
            Call::Change(_) => InstanceState::Stopping,
            Call::GiveType(ref to) => {
                for member in &batch.members {
                    self.type_given(*member, to);
                }
                return;
            }
            Call::Say(_) => {
                for member in &batch.members {
                    self.said[*member] = true;
                }
                return;
            }
            Call::Adopt(_) | Call::PlaceType(_) | Call::Remember(_) | Call::Forget(_) => return,
        };
        let told: HashMap<&InstanceId, InstanceState> = changes
            .iter()
            .filter_map(|change| Some((&change.instance, change.after?)))
            .collect();
        for member in &batch.members {
            let after = told.get(&self.steps[*member].instance).copied();
            self.progress[*member] = Progress::Accepted(after.unwrap_or(presumed));
            self.ledger.accept(*member);
            self.tell_type(*member);
        }
        self.write_what_is_due();
    }

    /// These members of a batch fail for this reason.
    fn fail(&mut self, batch: &Batch, members: &[usize], error: &CloudError) {
        let is_last = match &batch.call {
            Call::Adopt(writes) | Call::Remember(writes) => writes.last().is_some(),
            _ => false,
        };
        // What AWS refuses for an instance's own sake, such as one more tag, says nothing of the others.
        let concerns_all = !matches!(
            error.kind,
            CloudErrorKind::NotFound | CloudErrorKind::Refused
        );
        if is_last && concerns_all && self.unremembered.is_none() {
            self.unremembered = Some(error.repeated());
        }
        for member in members {
            let acts_all_the_same = self.steps[*member].without_memory == WithoutMemory::Act;
            if matches!(batch.call, Call::Adopt(_)) && acts_all_the_same {
                continue;
            }
            let result = if batch.call.is_memory() {
                StepResult::NotRemembered {
                    after: self.after(*member),
                    error: error.repeated(),
                }
            } else {
                StepResult::Failed(error.repeated())
            };
            self.settle(&batch.call, *member, result);
        }
        self.write_what_is_due();
    }

    /// There is no time for these members of a batch.
    fn leave(&mut self, batch: &Batch, members: &[usize]) {
        for member in members {
            let acted = self.steps[*member].action != StepAction::Record;
            let result = if batch.call.is_memory() && acted {
                StepResult::NotRemembered {
                    after: self.after(*member),
                    error: batch.late("time ran out before its turn came"),
                }
            } else if let Some(told) = &batch.told_to_wait {
                StepResult::Failed(told.repeated())
            } else {
                StepResult::OutOfTime
            };
            self.settle(&batch.call, *member, result);
        }
        self.write_what_is_due();
    }

    /// The first thing that goes wrong with a member is what is told of it.
    fn settle(&mut self, call: &Call, member: usize, result: StepResult) {
        if let Call::Change(_) = call {
            self.ledger.give_up(member);
        }
        let goes_on = match &result {
            StepResult::Failed(error) => {
                self.types.goes_on(call, member, error)
                    || self.not_hibernated.goes_on(call, member, error)
            }
            _ => false,
        };
        if !goes_on && !matches!(self.progress[member], Progress::Settled(_)) {
            self.progress[member] = Progress::Settled(result);
        }
    }

    /// The state of a member, as far as EC2 said.
    fn after(&self, member: usize) -> InstanceState {
        match &self.progress[member] {
            Progress::Accepted(after)
            | Progress::Settled(
                StepResult::Done { after } | StepResult::NotRemembered { after, .. },
            ) => *after,
            Progress::Open | Progress::Settled(_) => self.steps[member].state,
        }
    }

    fn ids(&self, batch: &Batch) -> Vec<InstanceId> {
        let members = batch.members.iter();
        members
            .map(|member| self.steps[*member].instance.clone())
            .collect()
    }

    fn into_results(self) -> (Vec<(StepResult, bool)>, NotHibernated) {
        let whole = self.progress.into_iter().zip(self.steps);
        let results = whole.map(|(progress, step)| match progress {
            Progress::Open => StepResult::Done { after: step.state },
            Progress::Accepted(after) => StepResult::Done { after },
            Progress::Settled(result) => result,
        });
        (results.zip(self.said).collect(), self.not_hibernated)
    }
}

/// When the parts of a refused batch have their turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    Next,
    /// After all that has not been tried yet: bad batches don't use up the time of good ones.
    Last,
}
