//! Carrying out a plan: batches side by side, the isolation of bad members, and the memory that is written afterwards.
//!
//! No choices are made here. What a step says is done, or its failure is reported.

mod again;
mod batch;
mod deadline;
mod guard;
mod hibernation;
mod isolate;
mod memory;
mod outcome;
mod refusal;
mod report;
mod room;
mod trouble;
mod types;

use std::collections::{HashMap, HashSet, VecDeque};

use curfew_core::instance::{Instance, InstanceId, InstanceState};
use curfew_core::plan::{Plan, plan};
use curfew_core::request::Request;
use curfew_core::schedule::ScheduleName;
use curfew_core::schedule_set::ScheduleSet;
use curfew_core::step::{Step, StepAction, TagWriteFailure};
use curfew_core::world::World;
use jiff::Timestamp;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::Instrument;

use self::batch::{Answer, Batch, Call};
pub use self::deadline::Deadline;
use self::guard::{Guard, Moment};
use self::hibernation::NotHibernated;
use self::isolate::Families;
use self::memory::{Ledger, Writes};
pub use self::outcome::{Outcome, StepResult};
pub use self::refusal::refusal;
use self::room::Rooms;
use self::trouble::Trouble;
use self::types::Types;
use crate::clock::Clock;
use crate::error::{CloudError, CloudErrorKind};
use crate::fleet::{Fleet, StateChange};

/// Instances per `StartInstances`, `StopInstances` or `CreateTags`. AWS asks for "smaller batches"; a hundred keeps a call
/// under EC2's answer time and makes one bad member cost a handful of calls to isolate. Larger saves calls when all goes well
/// and loses more when it does not.
const BATCH: usize = 100;

/// Calls under way at once. EC2 answers a call for a hundred instances in a second or two, so that four keep up with the five
/// calls a second that it allows; more would only queue for its tokens.
const SIDE_BY_SIDE: usize = 4;

/// The input of a plan except the instances: enough to plan again.
#[derive(Clone, Copy, Debug)]
pub struct Basis<'a> {
    /// The schedules.
    pub schedule_set: &'a ScheduleSet,
    /// The request that the pass is for.
    pub request: Option<&'a Request>,
    /// The schedule that a rule or timer named.
    pub triggered_for: Option<&'a ScheduleName>,
    /// Provides the instants of decisions.
    pub clock: &'a Clock,
}

impl<'a> Basis<'a> {
    /// The input of a pass without a request.
    pub fn new(schedule_set: &'a ScheduleSet, clock: &'a Clock) -> Self {
        Self {
            schedule_set,
            request: None,
            triggered_for: None,
            clock,
        }
    }

    /// Plans for these instances at an instant.
    pub fn plan(&self, instances: &[Instance], at: Timestamp) -> Plan {
        let Self {
            schedule_set,
            request,
            triggered_for,
            clock: _,
        } = *self;
        let world = World {
            schedule_set,
            instances,
            request,
            triggered_for,
        };
        plan(&world, at)
    }
}

/// A plan that is to be carried out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Order<'a> {
    pub(crate) plan: &'a Plan,
    /// The instances that it was made for.
    pub(crate) instances: &'a [Instance],
    /// When the observation of each of them began.
    pub(crate) begun: &'a [Instant],
    pub(crate) basis: Basis<'a>,
}

/// Carries out the steps of a plan, and reports each: in their order, and to the log.
///
/// - Nothing is called or written after the plan's next edge: the next pass decides what is left.
/// - A call rests on an observation that is a few seconds old at most. Where EC2's rate limit delayed it for longer, its
///   instances are observed and planned again first, and a step that comes out different is dropped.
/// - A batch's tags are written as soon as EC2 accepted it, and no batch is begun so late that the caller's deadline would
///   leave no time for that.
/// - A batch that is refused because of one instance is split until that instance stands alone; all others proceed.
/// - Where no call can succeed any more (expired credentials, no connection, an action that is not permitted), the remaining
///   steps fail for that reason without a call each.
pub(crate) async fn execute(fleet: &Fleet, order: Order<'_>, deadline: Deadline) -> Vec<Outcome> {
    let steps = order.plan.steps.clone();
    let mut work = Execution::new(fleet, order, &steps, deadline);
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

/// Writes the tags of requests and makes no call. Returns the steps whose tags were written, and the outcomes of the others.
pub(crate) async fn say(
    fleet: &Fleet,
    order: Order<'_>,
    deadline: Deadline,
) -> (Vec<Step>, Vec<Outcome>) {
    let steps = order.plan.steps.clone();
    let mut work = Execution::new(fleet, order, &steps, deadline);
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
    basis: Basis<'a>,
    /// The instant of the plan.
    decided_at: Timestamp,
    guard: Guard,
    /// When the observation began that each member's step rests on.
    seen: Vec<Moment>,
    progress: Vec<Progress>,
    /// Whether the request's tag was written, for each step.
    said: Vec<bool>,
    /// Why `curfew:last` can't be written here: then nothing more is done that would have to be remembered.
    unremembered: Option<CloudError>,
    /// Members that are acted on although their first memory could not be written, and why it could not.
    unadopted: HashMap<usize, CloudError>,
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
    fn new(fleet: &'a Fleet, order: Order<'a>, steps: &'a [Step], deadline: Deadline) -> Self {
        let Order {
            plan,
            instances,
            begun,
            basis,
        } = order;
        let guard = Guard::new(deadline, plan, basis.clock);
        let by_id: HashMap<&InstanceId, (&Instance, Instant)> = (instances.iter())
            .zip(begun)
            .map(|(one, begun)| (&one.id, (one, *begun)))
            .collect();
        let known = |step: &Step| {
            *by_id
                .get(&step.instance)
                .expect("steps are for what was seen")
        };
        let seen = steps.iter().map(|step| Some(known(step).0));
        let types = Types::of(steps.iter().zip(seen.clone()));
        Self {
            fleet,
            steps,
            basis,
            decided_at: plan.at,
            seen: (steps.iter())
                .map(|step| guard.moment(known(step).1))
                .collect(),
            guard,
            progress: steps.iter().map(|_| Progress::Open).collect(),
            said: vec![false; steps.len()],
            unremembered: None,
            unadopted: HashMap::new(),
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
        let wanting = steps
            .filter_map(|(step, member)| Some((Writes::word(step.request_tags.as_ref()?), member)));
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
                let seen = self.oldest(&batch);
                let sent = batch.send(self.fleet.clone(), ids, self.guard.clone(), seen);
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
            } else if !self.guard.may_begin() && !batch.call.is_memory() || !self.guard.may_write()
            {
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
        let (firm, others): (Vec<usize>, Vec<usize>) = batch.members.iter().partition(|member| {
            self.steps[**member].on_tag_write_failure == TagWriteFailure::CallAnyway
        });
        self.fail(&batch, &others, &error);
        if firm.is_empty() {
            self.ended(&batch, End::Unknown);
            return None;
        }
        Some(batch.of(firm))
    }

    /// When the longest ago of a batch's members was seen, if its call rests on that.
    fn oldest(&self, batch: &Batch) -> Option<Moment> {
        if !batch.call.rests_on_what_was_seen() {
            return None;
        }
        let seen = batch.members.iter().map(|member| self.seen[*member]);
        seen.reduce(Moment::earlier)
    }

    /// What was done is remembered also after the caller's deadline, as long as it waits; what only needs remembering is left
    /// to the next pass.
    fn in_time(&mut self, batch: Batch) -> Option<Batch> {
        if self.guard.may_begin() {
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
            Answer::Done(changes) => self.done(batch, &changes),
            Answer::Seen(seen) => self.decide_again(batch, &seen),
            Answer::NotSeen(error) => self.not_seen(batch, &error),
            Answer::Late(_) if batch.may_be_sent_again() => {
                let again = batch.sent_again();
                self.replace(batch, vec![again], Turn::Next);
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
            Answer::Late(error) | Answer::Failed(error) => self.refused(batch, &error),
        }
    }

    /// EC2 accepted a batch's call, for the members that its answer names.
    fn done(&mut self, batch: &Batch, changes: &[StateChange]) {
        let (named, left_out) = self.named_in(batch, changes);
        if !named.is_empty() {
            self.trouble.accepted(&batch.call);
        }
        if left_out.is_empty() {
            self.accept(batch, changes);
            self.ended(batch, End::Accepted);
            return;
        }
        let rest = batch.of(left_out);
        if !named.is_empty() {
            let named = batch.of(named);
            self.rooms.split(batch, 2);
            self.accept(&named, changes);
            self.ended(&named, End::Accepted);
        }
        if rest.may_be_sent_again() {
            self.queue.push_front(rest.sent_again());
        } else {
            let error = self.not_named(&rest);
            self.trouble.failed(&error);
            self.fail(&rest, &rest.members, &error);
            self.ended(&rest, End::Unknown);
        }
    }

    /// A batch's members that EC2's answer names, and the others: of those it is not known that anything was done about them.
    fn named_in(&self, batch: &Batch, changes: &[StateChange]) -> (Vec<usize>, Vec<usize>) {
        let Call::Change(_) = batch.call else {
            return (batch.members.clone(), Vec::new());
        };
        let named: HashSet<&InstanceId> = changes.iter().map(|change| &change.instance).collect();
        batch
            .members
            .iter()
            .partition(|member| named.contains(&self.steps[**member].instance))
    }

    fn not_named(&self, batch: &Batch) -> CloudError {
        /// So many ids are still read.
        const SHOWN: usize = 5;
        let ids = batch.members.iter();
        let mut ids: Vec<String> = ids
            .map(|member| format!("`{}`", self.steps[*member].instance))
            .collect();
        let more = ids.len().saturating_sub(SHOWN);
        ids.truncate(SHOWN);
        let mut ids = ids.join(", ");
        if more > 0 {
            ids = format!("{ids} and {more} more");
        }
        let message = format!("the answer leaves out {ids}, so that nothing may have been done");
        CloudError::new(batch.call.operation(), CloudErrorKind::Service, message)
    }

    /// Handles a refused batch by what caused the refusal.
    fn refused(&mut self, batch: &Batch, error: &CloudError) {
        match error.kind {
            CloudErrorKind::Capacity if batch.call == Call::Change(StepAction::Start) => {
                self.room_missing(batch, error);
            }
            // These calls are made for one instance each; a denial for one is a denial for all.
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
            | CloudErrorKind::NotSent
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

    /// EC2 answers with each instance's state; where it says none, the call's own meaning stands in.
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
            let acts_all_the_same =
                self.steps[*member].on_tag_write_failure == TagWriteFailure::CallAnyway;
            if matches!(batch.call, Call::Adopt(_)) && acts_all_the_same {
                self.unadopted.insert(*member, error.repeated());
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
                    error: batch.not_sent("the pass ended before its turn came"),
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

    fn into_results(mut self) -> (Vec<(StepResult, bool)>, NotHibernated) {
        let whole = self.progress.into_iter().zip(self.steps).zip(0..);
        let results = whole.map(|((progress, step), member)| match progress {
            Progress::Open => StepResult::Done { after: step.state },
            Progress::Accepted(after) => match self.unadopted.remove(&member) {
                Some(error) => StepResult::NotRemembered { after, error },
                None => StepResult::Done { after },
            },
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
