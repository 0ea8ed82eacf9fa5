//! A call for up to a hundred members, its limits and its results.

use std::sync::Arc;

use curfew_core::instance::{InstanceId, InstanceType};
use curfew_core::step::StepAction;
use tokio::time::{Instant, timeout_at};

use super::guard::{Guard, Moment};
use super::tag_writes::TagEdit;
use crate::error::{CloudError, CloudErrorKind};
use crate::fleet::{Fleet, Observation, StateChange};
use crate::rate_limit::{Limit, LimitedAction};

/// How often a throttled batch is sent again if there is no deadline: with the backoff, a minute or two. What fails after
/// that is left to the next pass.
const MOST_WAITS: u32 = 10;

/// How often a batch is sent again after no response, or one without some of its instances: three attempts in all, as by the
/// SDK if time allows.
const MOST_REPEATS: u32 = 2;

/// How often a batch's members are observed in a row without a call, when every observation takes so long that it is stale at
/// once. After that the batch is left to the next pass.
const MOST_OBSERVATIONS: u32 = 3;

/// A kind of call to EC2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum BatchCall {
    /// Starts, stops or hibernates.
    Change(StepAction),
    /// Writes a request's tags, before any other call.
    WriteRequest(TagEdit),
    /// Writes the first `curfew:last`, before the step's call.
    WriteInitialTag(TagEdit),
    /// Records that an instance gets a fallback type, before it does.
    TagFallback(TagEdit),
    /// Changes the instance type.
    SetType(InstanceType),
    /// Sets tags after the step's call.
    WriteTags(TagEdit),
    /// Removes tags after the step's call.
    RemoveTags(TagEdit),
}

/// Identifies calls that one permission allows or denies. A hibernation may be denied where a plain stop is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct CallKind {
    operation: &'static str,
    hibernates: bool,
}

impl BatchCall {
    pub(super) fn kind(&self) -> CallKind {
        CallKind {
            operation: self.operation(),
            hibernates: matches!(self, Self::Change(StepAction::Hibernate)),
        }
    }

    /// Whether this call records a step after the step's own call was accepted.
    pub(super) fn records_step(&self) -> bool {
        matches!(self, Self::WriteTags(_) | Self::RemoveTags(_))
    }

    /// Whether the call changes an instance because of its observed state.
    pub(super) fn needs_fresh_observation(&self) -> bool {
        matches!(self, Self::Change(_) | Self::SetType(_))
    }

    /// The operation's name in errors.
    pub(super) fn operation(&self) -> &'static str {
        match self {
            Self::Change(StepAction::Start) => "ec2:StartInstances",
            Self::Change(_) => "ec2:StopInstances",
            Self::SetType(_) => "ec2:ModifyInstanceAttribute",
            Self::WriteRequest(_)
            | Self::WriteInitialTag(_)
            | Self::TagFallback(_)
            | Self::WriteTags(_) => "ec2:CreateTags",
            Self::RemoveTags(_) => "ec2:DeleteTags",
        }
    }

    /// The error of a call without a response.
    pub(super) fn unanswered(&self, why: &str) -> CloudError {
        CloudError::new(self.operation(), CloudErrorKind::Unreachable, why)
    }

    /// The error of a call that was not sent in time.
    fn not_sent(&self, why: &str) -> CloudError {
        CloudError::new(self.operation(), CloudErrorKind::NotSent, why)
    }

    fn limited_action(&self) -> LimitedAction {
        match self {
            Self::Change(StepAction::Start) => LimitedAction::StartInstances,
            Self::Change(_) => LimitedAction::StopInstances,
            Self::SetType(_) => LimitedAction::ModifyInstanceAttribute,
            Self::WriteRequest(_)
            | Self::WriteInitialTag(_)
            | Self::TagFallback(_)
            | Self::WriteTags(_) => LimitedAction::CreateTags,
            Self::RemoveTags(_) => LimitedAction::DeleteTags,
        }
    }

    async fn make(
        &self,
        fleet: &Fleet,
        ids: &[InstanceId],
    ) -> Result<Vec<StateChange>, CloudError> {
        match self {
            Self::Change(StepAction::Start) => fleet.start(ids).await,
            Self::Change(StepAction::Stop) => fleet.stop(ids, false).await,
            Self::Change(StepAction::Hibernate) => fleet.stop(ids, true).await,
            Self::Change(StepAction::Record) => Ok(Vec::new()),
            Self::SetType(to) => {
                for id in ids {
                    fleet.set_type(id, to).await?;
                }
                Ok(Vec::new())
            }
            Self::WriteRequest(writes) | Self::TagFallback(writes) => {
                fleet.tag(ids, &writes.set).await.map(|()| Vec::new())
            }
            Self::WriteInitialTag(writes) | Self::WriteTags(writes) => {
                write_state_tags(fleet, ids, writes)
                    .await
                    .map(|()| Vec::new())
            }
            Self::RemoveTags(writes) => {
                fleet.untag(ids, &writes.removed).await.map(|()| Vec::new())
            }
        }
    }
}

/// Writes the tags. `curfew:last` never goes back: it is read again right before, and instances with a newer value keep all
/// their state tags.
///
/// Reads with `DescribeInstances`, which every role is permitted to call; `DescribeTags` would need another permission in
/// every account.
async fn write_state_tags(
    fleet: &Fleet,
    ids: &[InstanceId],
    writes: &TagEdit,
) -> Result<(), CloudError> {
    let Some(last) = writes.last() else {
        return fleet.tag(ids, &writes.set).await;
    };
    let overtaken = fleet
        .overtaken(ids, &last, writes.replaces.as_deref())
        .await?;
    let ids: Vec<InstanceId> = ids
        .iter()
        .filter(|id| !overtaken.contains(id))
        .cloned()
        .collect();
    if ids.is_empty() {
        return Ok(());
    }
    fleet.tag(&ids, &writes.set).await?;
    fleet.wrote(&ids, &last);
    Ok(())
}

/// The result of sending a batch.
#[derive(Debug)]
pub(super) enum BatchResponse {
    /// The call succeeded for all members.
    Done(Vec<StateChange>),
    /// The call failed for all members.
    Failed(CloudError),
    /// The call may have failed, and the SDK had no time to retry it.
    MaybeFailed(CloudError),
    /// The members were observed again; the call was not made yet.
    Reobserved(Observation),
    /// Observing the members again failed.
    ObservationFailed(CloudError),
    /// EC2's rate limit does not allow the call in time.
    RateLimited {
        /// The number of members for which it would.
        affordable: usize,
    },
}

/// Members for which one call is made.
#[derive(Clone, Debug)]
pub(super) struct Batch {
    pub(super) call: BatchCall,
    pub(super) members: Vec<usize>,
    /// The index of the original batch that this one is a part of.
    pub(super) lineage: usize,
    /// Whether this is a single member, tried to learn about the rest of its lineage.
    pub(super) probe: bool,
    /// The capacity pool that this batch probes.
    pub(super) pool: Option<usize>,
    waits: u32,
    repeats: u32,
    observations: u32,
    /// Whether the call has acquired its rate-limit tokens.
    has_tokens: bool,
    /// EC2's error, if it throttled this batch.
    pub(super) throttled_by: Option<Arc<CloudError>>,
}

impl Batch {
    pub(super) fn new(call: BatchCall, members: Vec<usize>, lineage: usize) -> Self {
        Self {
            call,
            members,
            lineage,
            probe: false,
            pool: None,
            waits: 0,
            repeats: 0,
            observations: 0,
            has_tokens: false,
            throttled_by: None,
        }
    }

    /// The same call for other members.
    pub(super) fn with_members(&self, members: Vec<usize>) -> Self {
        Self {
            members,
            ..self.clone()
        }
    }

    /// The call for each half of the members; one batch if there is one member.
    pub(super) fn halves(&self, members: &[usize]) -> Vec<Self> {
        let (first, second) = members.split_at(members.len() / 2);
        [first, second]
            .into_iter()
            .filter(|part| !part.is_empty())
            .map(|part| self.with_members(part.to_vec()))
            .collect()
    }

    pub(super) fn may_wait(&self) -> bool {
        self.waits < MOST_WAITS
    }

    pub(super) fn may_repeat(&self) -> bool {
        self.repeats < MOST_REPEATS
    }

    pub(super) fn repeated_once(&self) -> Self {
        Self {
            repeats: self.repeats + 1,
            ..self.clone()
        }
    }

    /// The batches to send after EC2 throttled this one. If EC2 limits instances, halves may be accepted sooner.
    pub(super) fn after_throttling(&self, error: &CloudError) -> Vec<Self> {
        let mut parts = match error.limit() {
            Limit::Requests => vec![self.clone()],
            Limit::Resources => self.halves(&self.members),
        };
        let throttling = Arc::new(error.repeated());
        for part in &mut parts {
            part.waits += 1;
            part.throttled_by = Some(Arc::clone(&throttling));
        }
        parts
    }

    /// The error of members without a response in time: EC2's own if it throttled them before.
    fn unanswered(&self, why: &str) -> CloudError {
        self.throttled()
            .unwrap_or_else(|| self.call.unanswered(why))
    }

    /// The error of members if the call was not sent in time: EC2's own if it throttled them before.
    pub(super) fn not_sent(&self, why: &str) -> CloudError {
        self.throttled().unwrap_or_else(|| self.call.not_sent(why))
    }

    fn throttled(&self) -> Option<CloudError> {
        self.throttled_by.as_deref().map(CloudError::repeated)
    }

    /// Makes the call as soon as EC2's rate limit allows, if that is in time. If the members' observation is stale by then,
    /// they are observed again instead, and the call keeps its tokens.
    pub(super) async fn send(
        mut self,
        fleet: Fleet,
        ids: Vec<InstanceId>,
        guard: Guard,
        observed_at: Option<Moment>,
    ) -> (Self, BatchResponse) {
        let (begin, end) = if self.call.records_step() {
            (guard.write(), guard.end())
        } else {
            (guard.begin(), guard.response())
        };
        let (rate_limiter, limited_action) = (fleet.rate_limiter(), self.call.limited_action());
        if !self.has_tokens {
            if let Err(slow) = rate_limiter
                .acquire_within(limited_action, ids.len(), begin)
                .await
            {
                let affordable = slow.affordable;
                return (self, BatchResponse::RateLimited { affordable });
            }
            self.has_tokens = true;
        }
        let in_time = if self.call.records_step() {
            guard.may_write()
        } else {
            guard.may_begin()
        };
        let stale = observed_at.is_some_and(|observed_at| guard.is_stale(observed_at));
        if !in_time || (stale && self.observations == MOST_OBSERVATIONS) {
            return (self, BatchResponse::RateLimited { affordable: 0 });
        }
        if stale {
            self.observations += 1;
            let observation = in_time_of(end, fleet.describe_again(&ids)).await;
            let response = match observation {
                Some(Ok(observed)) => BatchResponse::Reobserved(observed),
                Some(Err(error)) => BatchResponse::ObservationFailed(error),
                None => BatchResponse::RateLimited { affordable: 0 },
            };
            return (self, response);
        }
        (self.has_tokens, self.observations) = (false, 0);
        let send_by = guard.send_by(observed_at);
        let fleet = match &send_by {
            Some(send_by) => fleet.sending_by(send_by),
            None => fleet,
        };
        let response = in_time_of(end, self.call.make(&fleet, &ids)).await;
        let response = response
            .unwrap_or_else(|| Err(self.unanswered("out of time before the response arrived")));
        let rate_limiter = fleet.rate_limiter();
        match response {
            Ok(changes) => {
                rate_limiter.accepted(limited_action);
                (self, BatchResponse::Done(changes))
            }
            Err(error) => {
                if error.kind == CloudErrorKind::Throttled {
                    rate_limiter.refused(limited_action, error.limit());
                }
                let response = match (send_by, error.kind) {
                    (Some(send_by), _) if send_by.held_back() => {
                        BatchResponse::MaybeFailed(self.not_sent("the pass ended first"))
                    }
                    (Some(send_by), CloudErrorKind::Unreachable | CloudErrorKind::Service)
                        if send_by.forbade_retry() =>
                    {
                        BatchResponse::MaybeFailed(error)
                    }
                    _ => BatchResponse::Failed(error),
                };
                (self, response)
            }
        }
    }
}

/// Awaits `work` until `end`; none if it takes longer.
async fn in_time_of<T>(end: Option<Instant>, work: impl Future<Output = T>) -> Option<T> {
    match end {
        None => Some(work.await),
        Some(end) => timeout_at(end, work).await.ok(),
    }
}
