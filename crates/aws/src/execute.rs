//! Executes a plan: calls in concurrent batches, isolation of instances that EC2 refuses, and the tags that record the
//! result.
//!
//! It decides nothing: each step is executed as planned, or its failure is reported.

mod batch;
mod capacity_pools;
mod circuit_breaker;
mod deadline;
mod guard;
mod hibernation;
mod isolate;
mod outcome;
mod refusal;
mod replan;
mod report;
mod tag_writes;
mod type_fallback;

use std::collections::{HashMap, HashSet, VecDeque};

use curfew_core::instance::{Instance, InstanceId, InstanceState};
use curfew_core::plan::{Plan, plan};
use curfew_core::request::Request;
use curfew_core::schedule_set::ScheduleSet;
use curfew_core::step::{Step, StepAction, TagWriteFailure};
use curfew_core::world::World;
use jiff::Timestamp;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::Instrument;

use self::batch::{Batch, BatchCall, BatchResponse};
use self::capacity_pools::CapacityPools;
use self::circuit_breaker::CircuitBreaker;
pub use self::deadline::Deadline;
use self::guard::{Guard, Moment};
use self::hibernation::NotHibernated;
use self::isolate::BatchLineage;
pub use self::outcome::{Outcome, StepResult};
pub use self::refusal::refusal;
use self::tag_writes::{TagEdit, TagWrites};
use self::type_fallback::TypeFallbacks;
use crate::clock::Clock;
use crate::error::{CloudError, CloudErrorKind};
use crate::fleet::{Fleet, StateChange};

/// Instances per `StartInstances`, `StopInstances` or `CreateTags`. AWS recommends smaller batches, but a call for a hundred
/// instances stays within EC2's timeout, and isolating one bad instance costs a handful of calls. A larger batch saves calls
/// when all succeed and costs more when one is refused.
const BATCH: usize = 100;

/// Concurrent calls. EC2 answers a call for a hundred instances in a second or two, so four make two to four calls per second,
/// of the five that it allows; more would at times wait for the rate limiter.
const MAX_IN_FLIGHT: usize = 4;

/// The input of a plan except the instances: enough to plan again.
#[derive(Clone, Copy, Debug)]
pub struct Basis<'a> {
    /// The schedules that the steps were decided with.
    pub schedule_set: &'a ScheduleSet,
    /// The request that the pass executes, if any.
    pub request: Option<&'a Request>,
    /// Provides the instants of decisions.
    pub clock: &'a Clock,
}

impl<'a> Basis<'a> {
    /// The input of a pass without a request.
    pub fn new(schedule_set: &'a ScheduleSet, clock: &'a Clock) -> Self {
        Self {
            schedule_set,
            request: None,
            clock,
        }
    }

    /// Plans for these instances at an instant.
    pub fn plan(&self, instances: &[Instance], at: Timestamp) -> Plan {
        let Self {
            schedule_set,
            request,
            clock: _,
        } = *self;
        let world = World {
            schedule_set,
            instances,
            request,
        };
        plan(&world, at)
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct PlanToExecute<'a> {
    pub(crate) plan: &'a Plan,
    /// The instances that the plan was computed from.
    pub(crate) instances: &'a [Instance],
    /// When the observation of each instance began.
    pub(crate) observed_at: &'a [Instant],
    pub(crate) basis: Basis<'a>,
}

/// Executes the steps of a plan. Logs each outcome, and returns them in the plan's order.
///
/// - No call is made and no tag written after the plan's next edge: the next pass decides about the rest.
/// - A call is sent within a few seconds of the observation that its step was planned on. If EC2's rate limit delays it for
///   longer, its instances are observed and planned again first, and a step that is then planned differently is dropped.
/// - A batch's tags are written as soon as EC2 accepted its call, and no batch is begun so late that no time would remain to
///   write its tags before the caller's deadline.
/// - A batch that is refused because of one instance is split until that instance is alone; all others proceed.
/// - If no call can succeed any more (expired credentials, no connection, an action that is not permitted), the remaining
///   steps fail with that error, without further calls.
pub(crate) async fn execute(
    fleet: &Fleet,
    to_execute: PlanToExecute<'_>,
    deadline: Deadline,
) -> Vec<Outcome> {
    let steps = to_execute.plan.steps.clone();
    let mut work = Execution::new(fleet, to_execute, &steps, deadline);
    // A request is recorded first, so that a later pass retries a call that fails.
    work.queue_request_tags();
    work.run().await;
    work.queue_initial_tags();
    work.run().await;
    work.queue_actions();
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
        .map(|(step, (result, request_written))| Outcome {
            step,
            result,
            request_written,
        })
        .collect();
    for (outcome, member) in outcomes.iter_mut().zip(0..) {
        not_hibernated.amend(member, &mut outcome.step);
    }
    outcomes.iter().for_each(report::log);
    outcomes
}

/// Writes the tags of requests and makes no other call. Returns the steps with written tags, and the outcomes of the
/// others.
pub(crate) async fn write_request_tags(
    fleet: &Fleet,
    to_execute: PlanToExecute<'_>,
    deadline: Deadline,
) -> (Vec<Step>, Vec<Outcome>) {
    let steps = to_execute.plan.steps.clone();
    let mut work = Execution::new(fleet, to_execute, &steps, deadline);
    work.queue_request_tags();
    work.run().await;
    let (results, _) = work.into_results();
    let (mut recorded, mut failed) = (Vec::new(), Vec::new());
    for (step, (result, request_written)) in steps.into_iter().zip(results) {
        if request_written {
            recorded.push(step);
        } else {
            failed.push(Outcome {
                step,
                result,
                request_written,
            });
        }
    }
    failed.iter().for_each(report::log);
    (recorded, failed)
}

/// The state of executing one plan. A *member* is the index of a step in `steps`.
struct Execution<'a> {
    fleet: &'a Fleet,
    steps: &'a [Step],
    basis: Basis<'a>,
    /// The plan's instant.
    decided_at: Timestamp,
    guard: Guard,
    /// When the observation began that each member's step was planned from.
    observed_at: Vec<Moment>,
    progress: Vec<StepProgress>,
    /// Whether the request's tag was written, for each step.
    request_written: Vec<bool>,
    /// Why `curfew:last` can't be written in this account and region. If set, calls that would have to be recorded are not made.
    unrecordable: Option<CloudError>,
    /// The error of writing the first `curfew:last`, for members whose call is made anyway.
    initial_tag_errors: HashMap<usize, CloudError>,
    queue: VecDeque<Batch>,
    lineages: BatchLineage,
    capacity_pools: CapacityPools,
    types: TypeFallbacks,
    not_hibernated: NotHibernated,
    tag_writes: TagWrites,
    breaker: CircuitBreaker,
}

/// The progress of a member.
#[derive(Debug)]
enum StepProgress {
    /// The call is pending, or none is needed.
    Open,
    /// EC2 accepted the call; the instance's state in its response.
    Accepted(InstanceState),
    /// The member is finished.
    Settled(StepResult),
}

/// How a batch ended, if it was not split.
#[derive(Clone, Copy, Debug)]
enum BatchEnd<'a> {
    Accepted,
    Refused(&'a CloudError),
    /// The call was not made, or not answered.
    Unknown,
}

impl<'a> Execution<'a> {
    fn new(
        fleet: &'a Fleet,
        to_execute: PlanToExecute<'a>,
        steps: &'a [Step],
        deadline: Deadline,
    ) -> Self {
        let PlanToExecute {
            plan,
            instances,
            observed_at,
            basis,
        } = to_execute;
        let guard = Guard::new(deadline, plan, basis.clock);
        let by_id: HashMap<&InstanceId, (&Instance, Instant)> = (instances.iter())
            .zip(observed_at)
            .map(|(instance, observed_at)| (&instance.id, (instance, *observed_at)))
            .collect();
        let observation_of = |step: &Step| {
            *by_id
                .get(&step.instance)
                .expect("every step is for an instance of the plan")
        };
        let instances = steps.iter().map(|step| observation_of(step).0);
        let types = TypeFallbacks::of(steps.iter().zip(instances.clone()));
        Self {
            fleet,
            steps,
            basis,
            decided_at: plan.at,
            observed_at: (steps.iter())
                .map(|step| guard.moment(observation_of(step).1))
                .collect(),
            guard,
            progress: steps.iter().map(|_| StepProgress::Open).collect(),
            request_written: vec![false; steps.len()],
            unrecordable: None,
            initial_tag_errors: HashMap::new(),
            queue: VecDeque::new(),
            lineages: BatchLineage::default(),
            capacity_pools: CapacityPools::of(instances),
            types,
            not_hibernated: NotHibernated::default(),
            tag_writes: TagWrites::of(steps),
            breaker: CircuitBreaker::default(),
        }
    }

    fn queue_request_tags(&mut self) {
        let steps = self.steps.iter().zip(0..);
        let edits = steps.filter_map(|(step, member)| {
            Some((TagEdit::request(step.request_tags.as_ref()?), member))
        });
        for (writes, members) in tag_writes::grouped(edits) {
            self.queue_back(&BatchCall::WriteRequest(writes), &members);
        }
    }

    fn queue_initial_tags(&mut self) {
        let steps = self.steps.iter().zip(&self.progress).zip(0..);
        let edits = steps.filter_map(|((step, progress), member)| match progress {
            StepProgress::Open => Some((
                TagEdit::initial(step.initial_tag.as_ref()?).replacing(step),
                member,
            )),
            StepProgress::Accepted(_) | StepProgress::Settled(_) => None,
        });
        for (writes, members) in tag_writes::grouped(edits) {
            self.queue_back(&BatchCall::WriteInitialTag(writes), &members);
        }
    }

    fn queue_actions(&mut self) {
        for action in [StepAction::Start, StepAction::Stop, StepAction::Hibernate] {
            let members = self.open_members(action);
            let members = members.filter(|member| self.types.is_ready(*member));
            self.queue_action(action, members.collect());
        }
    }

    /// Sorts the members by the tags to write, and by capacity pool: this makes for few tag writes, and few batches in which a
    /// lack of capacity concerns only some members.
    fn queue_action(&mut self, action: StepAction, mut members: Vec<usize>) {
        members.sort_by_key(|member| {
            (
                self.tag_writes.group(*member),
                self.capacity_pools.pool(*member),
            )
        });
        for member in &members {
            self.tag_writes.expect(*member);
        }
        self.queue_back(&BatchCall::Change(action), &members);
    }

    /// Queues the tags of steps without a call, together with other steps that write the same tags.
    fn queue_records(&mut self) {
        let records: Vec<usize> = self.open_members(StepAction::Record).collect();
        for member in records {
            self.tag_writes.expect(member);
            self.tag_writes.accept(member);
        }
        for members in self.tag_writes.due() {
            for (call, members) in self.tag_calls(&members) {
                self.queue_back(&call, &members);
            }
        }
    }

    fn open_members(&self, action: StepAction) -> impl Iterator<Item = usize> + '_ {
        (0..self.steps.len()).filter(move |member| {
            self.steps[*member].action == action
                && matches!(self.progress[*member], StepProgress::Open)
        })
    }

    fn queue_back(&mut self, call: &BatchCall, members: &[usize]) {
        for members in members.chunks(BATCH) {
            self.breaker.expect(call);
            let batch = Batch::new(call.clone(), members.to_vec(), self.lineages.start());
            self.queue.push_back(batch);
        }
    }

    /// Makes the queued calls, and those that their results require.
    async fn run(&mut self) {
        let mut in_flight = JoinSet::new();
        loop {
            while in_flight.len() < MAX_IN_FLIGHT
                && let Some(batch) = self.next()
            {
                let ids = self.ids(&batch);
                let observed_at = self.oldest_observation(&batch);
                let sent = batch.send(self.fleet.clone(), ids, self.guard.clone(), observed_at);
                in_flight.spawn(sent.in_current_span());
            }
            match in_flight.join_next().await {
                Some(Ok((batch, response))) => self.handle(&batch, response),
                Some(Err(join_error)) => std::panic::resume_unwind(join_error.into_panic()),
                None => return,
            }
        }
    }

    /// Returns the next batch to send now; settles batches whose call would be pointless.
    fn next(&mut self) -> Option<Batch> {
        while let Some(batch) = self.queue.pop_front() {
            if let Some(error) = self.breaker.open_for(&batch.call) {
                self.fail(&batch, &batch.members, &error);
                self.on_end(&batch, BatchEnd::Unknown);
            } else if !self.guard.may_begin() && !batch.call.records_step()
                || !self.guard.may_write()
            {
                self.out_of_time(&batch, &batch.members);
                self.on_end(&batch, BatchEnd::Unknown);
            } else if let Some(batch) = self
                .without_unrecordable(batch)
                .and_then(|batch| self.without_short_pools(batch))
                .and_then(|batch| self.in_time(batch))
            {
                return Some(batch);
            }
        }
        None
    }

    /// Removes members from a batch if their call could not be recorded, and would therefore be repeated at every pass.
    fn without_unrecordable(&mut self, batch: Batch) -> Option<Batch> {
        let acts = matches!(batch.call, BatchCall::Change(_) | BatchCall::SetType(_));
        let Some(error) = self.unrecordable.as_ref().filter(|_| acts) else {
            return Some(batch);
        };
        let error = error.inferred();
        let (call_anyway, others): (Vec<usize>, Vec<usize>) =
            batch.members.iter().partition(|member| {
                self.steps[**member].on_tag_write_failure == TagWriteFailure::CallAnyway
            });
        self.fail(&batch, &others, &error);
        if call_anyway.is_empty() {
            self.on_end(&batch, BatchEnd::Unknown);
            return None;
        }
        Some(batch.with_members(call_anyway))
    }

    /// When the oldest observation of the members began; `None` if the call does not depend on it.
    fn oldest_observation(&self, batch: &Batch) -> Option<Moment> {
        if !batch.call.needs_fresh_observation() {
            return None;
        }
        let observed_at = batch.members.iter().map(|member| self.observed_at[*member]);
        observed_at.reduce(Moment::earlier)
    }

    /// After the caller's deadline, only the tags of executed calls are written; those of steps without a call are left to
    /// the next pass.
    fn in_time(&mut self, batch: Batch) -> Option<Batch> {
        if self.guard.may_begin() {
            return Some(batch);
        }
        let (kept, left): (Vec<usize>, Vec<usize>) = batch
            .members
            .iter()
            .partition(|member| self.steps[**member].action != StepAction::Record);
        self.out_of_time(&batch, &left);
        if kept.is_empty() {
            self.on_end(&batch, BatchEnd::Unknown);
            return None;
        }
        Some(batch.with_members(kept))
    }

    fn handle(&mut self, batch: &Batch, response: BatchResponse) {
        match response {
            BatchResponse::Done(changes) => self.succeeded(batch, &changes),
            BatchResponse::Reobserved(observed) => self.replan(batch, &observed),
            BatchResponse::ObservationFailed(error) => self.observation_failed(batch, &error),
            BatchResponse::MaybeFailed(_) if batch.may_repeat() => {
                let again = batch.repeated_once();
                self.replace(batch, vec![again], QueuePosition::Next);
            }
            BatchResponse::RateLimited { affordable }
                if affordable == 0 || batch.members.len() == 1 =>
            {
                self.out_of_time(batch, &batch.members);
                self.on_end(batch, BatchEnd::Unknown);
            }
            BatchResponse::RateLimited { affordable } => {
                // Fewer than all, even if rounding allows all: the whole batch was too large.
                let some = affordable.min(batch.members.len() - 1);
                let (now, later) = batch.members.split_at(some);
                self.out_of_time(batch, later);
                self.queue.push_front(batch.with_members(now.to_vec()));
            }
            BatchResponse::MaybeFailed(error) | BatchResponse::Failed(error) => {
                self.refused(batch, &error);
            }
        }
    }

    /// Handles an accepted call, for the members named in EC2's response.
    fn succeeded(&mut self, batch: &Batch, changes: &[StateChange]) {
        let (included, left_out) = self.included_in(batch, changes);
        if !included.is_empty() {
            self.breaker.accepted(&batch.call);
        }
        if left_out.is_empty() {
            self.accept(batch, changes);
            self.on_end(batch, BatchEnd::Accepted);
            return;
        }
        let rest = batch.with_members(left_out);
        if !included.is_empty() {
            let accepted = batch.with_members(included);
            self.capacity_pools.split(batch, 2);
            self.accept(&accepted, changes);
            self.on_end(&accepted, BatchEnd::Accepted);
        }
        if rest.may_repeat() {
            self.queue.push_front(rest.repeated_once());
        } else {
            let error = self.not_included(&rest);
            self.breaker.failed(&error);
            self.fail(&rest, &rest.members, &error);
            self.on_end(&rest, BatchEnd::Unknown);
        }
    }

    /// Splits a batch's members into those that EC2's response names, and the others, whose state is unknown.
    fn included_in(&self, batch: &Batch, changes: &[StateChange]) -> (Vec<usize>, Vec<usize>) {
        let BatchCall::Change(_) = batch.call else {
            return (batch.members.clone(), Vec::new());
        };
        let ids: HashSet<&InstanceId> = changes.iter().map(|change| &change.instance).collect();
        batch
            .members
            .iter()
            .partition(|member| ids.contains(&self.steps[**member].instance))
    }

    fn not_included(&self, batch: &Batch) -> CloudError {
        /// The number of ids in the message.
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
        let message = format!("the response does not include {ids}, so nothing may have been done");
        CloudError::new(batch.call.operation(), CloudErrorKind::Service, message)
    }

    /// Handles a refused batch according to the kind of the error.
    fn refused(&mut self, batch: &Batch, error: &CloudError) {
        match error.kind {
            CloudErrorKind::Capacity if batch.call == BatchCall::Change(StepAction::Start) => {
                self.capacity_lacking(batch, error);
            }
            // These calls are made for one instance each; a denial for one is a denial for all.
            CloudErrorKind::Denied if matches!(batch.call, BatchCall::SetType(_)) => {
                self.breaker.trip(&batch.call, error);
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
                let parts = batch.after_throttling(error);
                self.replace(batch, parts, QueuePosition::Next);
            }
            CloudErrorKind::Throttled
            | CloudErrorKind::Unreachable
            | CloudErrorKind::NotSent
            | CloudErrorKind::Credentials
            | CloudErrorKind::Expired
            | CloudErrorKind::Service => {
                self.breaker.failed(error);
                self.fail(batch, &batch.members, error);
                self.on_end(batch, BatchEnd::Unknown);
            }
        }
    }

    /// Puts the parts of a batch in its place.
    fn replace(&mut self, batch: &Batch, parts: Vec<Batch>, position: QueuePosition) {
        self.capacity_pools.split(batch, parts.len());
        match position {
            QueuePosition::Next => parts
                .into_iter()
                .rev()
                .for_each(|part| self.queue.push_front(part)),
            QueuePosition::Last => self.queue.extend(parts),
        }
    }

    /// Resumes what waits for this batch.
    fn on_end(&mut self, batch: &Batch, end: BatchEnd<'_>) {
        self.update_lineage(batch, end);
        self.continue_search(batch, end);
    }

    /// Records the accepted members' states, from EC2's response, or from the call if the response has none.
    fn accept(&mut self, batch: &Batch, changes: &[StateChange]) {
        let presumed = match batch.call {
            BatchCall::Change(StepAction::Start) => InstanceState::Pending,
            BatchCall::Change(_) => InstanceState::Stopping,
            BatchCall::SetType(ref to) => {
                for member in &batch.members {
                    self.type_changed(*member, to);
                }
                return;
            }
            BatchCall::WriteRequest(_) => {
                for member in &batch.members {
                    self.request_written[*member] = true;
                }
                return;
            }
            BatchCall::WriteInitialTag(_)
            | BatchCall::TagFallback(_)
            | BatchCall::WriteTags(_)
            | BatchCall::RemoveTags(_) => return,
        };
        let after_by_id: HashMap<&InstanceId, InstanceState> = changes
            .iter()
            .filter_map(|change| Some((&change.instance, change.after?)))
            .collect();
        for member in &batch.members {
            let after = after_by_id.get(&self.steps[*member].instance).copied();
            self.progress[*member] = StepProgress::Accepted(after.unwrap_or(presumed));
            self.tag_writes.accept(*member);
            self.log_fallback(*member);
        }
        self.queue_due_tags();
    }

    /// Fails members of a batch with an error.
    fn fail(&mut self, batch: &Batch, members: &[usize], error: &CloudError) {
        let writes_last_tag = match &batch.call {
            BatchCall::WriteInitialTag(writes) | BatchCall::WriteTags(writes) => {
                writes.last().is_some()
            }
            _ => false,
        };
        // A refusal that is specific to the instance, such as a refusal of another tag, doesn't concern the others.
        let concerns_all = !matches!(
            error.kind,
            CloudErrorKind::NotFound | CloudErrorKind::Refused
        );
        if writes_last_tag && concerns_all && self.unrecordable.is_none() {
            self.unrecordable = Some(error.repeated());
        }
        for member in members {
            let calls_anyway =
                self.steps[*member].on_tag_write_failure == TagWriteFailure::CallAnyway;
            if matches!(batch.call, BatchCall::WriteInitialTag(_)) && calls_anyway {
                self.initial_tag_errors.insert(*member, error.repeated());
                continue;
            }
            let result = if batch.call.records_step() {
                StepResult::TagsNotWritten {
                    after: self.after(*member),
                    error: error.repeated(),
                }
            } else {
                StepResult::Failed(error.repeated())
            };
            self.settle(&batch.call, *member, result);
        }
        self.queue_due_tags();
    }

    /// Settles members of a batch for which no time is left.
    fn out_of_time(&mut self, batch: &Batch, members: &[usize]) {
        for member in members {
            let acted = self.steps[*member].action != StepAction::Record;
            let result = if batch.call.records_step() && acted {
                StepResult::TagsNotWritten {
                    after: self.after(*member),
                    error: batch.not_sent("the pass ended first"),
                }
            } else if let Some(throttling) = &batch.throttled_by {
                StepResult::Failed(throttling.repeated())
            } else {
                StepResult::OutOfTime
            };
            self.settle(&batch.call, *member, result);
        }
        self.queue_due_tags();
    }

    /// Settles a member. The first error of a member is the reported one.
    fn settle(&mut self, call: &BatchCall, member: usize, result: StepResult) {
        if let BatchCall::Change(_) = call {
            self.tag_writes.give_up(member);
        }
        let has_alternative = match &result {
            StepResult::Failed(error) => {
                self.types.continues_after(call, member, error)
                    || self.not_hibernated.continues_after(call, member, error)
            }
            _ => false,
        };
        if !has_alternative && !matches!(self.progress[member], StepProgress::Settled(_)) {
            self.progress[member] = StepProgress::Settled(result);
        }
    }

    /// The last known state of a member's instance.
    fn after(&self, member: usize) -> InstanceState {
        match &self.progress[member] {
            StepProgress::Accepted(after)
            | StepProgress::Settled(
                StepResult::Done { after } | StepResult::TagsNotWritten { after, .. },
            ) => *after,
            StepProgress::Open | StepProgress::Settled(_) => self.steps[member].state,
        }
    }

    fn ids(&self, batch: &Batch) -> Vec<InstanceId> {
        let members = batch.members.iter();
        members
            .map(|member| self.steps[*member].instance.clone())
            .collect()
    }

    fn into_results(mut self) -> (Vec<(StepResult, bool)>, NotHibernated) {
        let members = self.progress.into_iter().zip(self.steps).zip(0..);
        let results = members.map(|((progress, step), member)| match progress {
            StepProgress::Open => StepResult::Done { after: step.state },
            StepProgress::Accepted(after) => match self.initial_tag_errors.remove(&member) {
                Some(error) => StepResult::TagsNotWritten { after, error },
                None => StepResult::Done { after },
            },
            StepProgress::Settled(result) => result,
        });
        (
            results.zip(self.request_written).collect(),
            self.not_hibernated,
        )
    }
}

/// When the parts of a refused batch are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum QueuePosition {
    Next,
    /// After all batches that were not tried yet, so that bad batches don't use up the time of good ones.
    Last,
}
