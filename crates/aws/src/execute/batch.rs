//! A call for up to a hundred members: what it is, how it is made, and what it may become.

use std::sync::Arc;

use curfew_core::instance::{InstanceId, InstanceType};
use curfew_core::step::StepAction;
use tokio::time::{Instant, timeout_at};

use super::guard::{Guard, Moment};
use super::memory::Writes;
use crate::error::{CloudError, CloudErrorKind};
use crate::fleet::{Fleet, Observation, StateChange};
use crate::pace::{Limit, Paced};

/// How often a batch that EC2 asks to wait is asked for again where there is no deadline: with the pace's waits a minute or
/// two. What still can't be done by then is for the next pass, which decides afresh.
const MOST_WAITS: u32 = 10;

/// How often a batch is repeated that got no answer, or an answer without some of its instances: three attempts in all, as
/// the SDK makes where time allows.
const MOST_REPEATS: u32 = 2;

/// How often a batch's members are looked at in a row without a call. A look that takes so long that it is old at once is
/// followed by others that do; the next pass has more luck.
const MOST_LOOKS: u32 = 3;

/// What is asked of EC2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Call {
    /// The step's own call.
    Change(StepAction),
    /// What a person says is written, before anything else.
    Say(Writes),
    /// The first memory is written, before the step's own call.
    Adopt(Writes),
    /// It is written that another type stands in, before it does.
    PlaceType(Writes),
    /// The type is changed.
    GiveType(InstanceType),
    /// Tags are set, after the step's own call.
    Remember(Writes),
    /// Tags are removed, after the step's own call.
    Forget(Writes),
}

/// What calls have in common that are allowed or refused alike. A hibernation may be refused where a plain stop is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct CallKind {
    operation: &'static str,
    hibernates: bool,
}

impl Call {
    pub(super) fn kind(&self) -> CallKind {
        CallKind {
            operation: self.operation(),
            hibernates: matches!(self, Self::Change(StepAction::Hibernate)),
        }
    }

    /// Whether the step's own call was accepted before this one.
    pub(super) fn is_memory(&self) -> bool {
        matches!(self, Self::Remember(_) | Self::Forget(_))
    }

    /// Whether it changes an instance because of what was seen of it.
    pub(super) fn rests_on_what_was_seen(&self) -> bool {
        matches!(self, Self::Change(_) | Self::GiveType(_))
    }

    /// The operation as errors name it.
    pub(super) fn operation(&self) -> &'static str {
        match self {
            Self::Change(StepAction::Start) => "ec2:StartInstances",
            Self::Change(_) => "ec2:StopInstances",
            Self::GiveType(_) => "ec2:ModifyInstanceAttribute",
            Self::Say(_) | Self::Adopt(_) | Self::PlaceType(_) | Self::Remember(_) => {
                "ec2:CreateTags"
            }
            Self::Forget(_) => "ec2:DeleteTags",
        }
    }

    /// That there was no answer, and why.
    pub(super) fn unanswered(&self, why: &str) -> CloudError {
        CloudError::new(self.operation(), CloudErrorKind::Unreachable, why)
    }

    /// That there was no time to make it, and why.
    fn not_sent(&self, why: &str) -> CloudError {
        CloudError::new(self.operation(), CloudErrorKind::NotSent, why)
    }

    fn paced(&self) -> Paced {
        match self {
            Self::Change(StepAction::Start) => Paced::StartInstances,
            Self::Change(_) => Paced::StopInstances,
            Self::GiveType(_) => Paced::ModifyInstanceAttribute,
            Self::Say(_) | Self::Adopt(_) | Self::PlaceType(_) | Self::Remember(_) => {
                Paced::CreateTags
            }
            Self::Forget(_) => Paced::DeleteTags,
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
            Self::GiveType(to) => {
                for id in ids {
                    fleet.set_type(id, to).await?;
                }
                Ok(Vec::new())
            }
            Self::Say(writes) | Self::PlaceType(writes) => {
                fleet.tag(ids, &writes.set).await.map(|()| Vec::new())
            }
            Self::Adopt(writes) | Self::Remember(writes) => {
                write_memory(fleet, ids, writes).await.map(|()| Vec::new())
            }
            Self::Forget(writes) => fleet.untag(ids, &writes.removed).await.map(|()| Vec::new()),
        }
    }
}

/// Writes the tags. `curfew:last` never goes back: it is read again right before, and an instance with a newer value by then
/// keeps all its state tags.
///
/// By `DescribeInstances`, which every role may call, and not by `DescribeTags`, which would be one more right in every account.
async fn write_memory(
    fleet: &Fleet,
    ids: &[InstanceId],
    writes: &Writes,
) -> Result<(), CloudError> {
    let Some(last) = writes.last() else {
        return fleet.tag(ids, &writes.set).await;
    };
    let overtaken = fleet.overtaken(ids, &last, writes.mends.as_deref()).await?;
    let ids: Vec<InstanceId> = ids
        .iter()
        .filter(|id| !overtaken.contains(id))
        .cloned()
        .collect();
    if ids.is_empty() {
        return Ok(());
    }
    fleet.tag(&ids, &writes.set).await?;
    fleet.remembered(&ids, &last);
    Ok(())
}

/// What EC2, or the clock, said to a batch.
#[derive(Debug)]
pub(super) enum Answer {
    /// It is done for all members.
    Done(Vec<StateChange>),
    /// It is done for none of them.
    Failed(CloudError),
    /// It is not known to be done for any of them, and the SDK had no time to try again.
    Late(CloudError),
    /// Its members were looked at again, and no call was made yet.
    Seen(Observation),
    /// They were to be looked at again, which failed.
    NotSeen(CloudError),
    /// EC2's pace does not allow it in time; for so many of them it would.
    TooSlow {
        /// The number.
        affordable: usize,
    },
}

/// Members for which one call is made.
#[derive(Clone, Debug)]
pub(super) struct Batch {
    pub(super) call: Call,
    pub(super) members: Vec<usize>,
    /// The batch as it was first made, which this one is a part of.
    pub(super) family: usize,
    /// One member, tried to learn about the rest of its family.
    pub(super) probe: bool,
    /// The type and zone whose capacity this batch probes.
    pub(super) pool: Option<usize>,
    waits: u32,
    repeats: u32,
    looks: u32,
    /// Its call has its tokens of EC2's pace already.
    admitted: bool,
    /// EC2's own words, if it asked this batch to wait.
    pub(super) told_to_wait: Option<Arc<CloudError>>,
}

impl Batch {
    pub(super) fn new(call: Call, members: Vec<usize>, family: usize) -> Self {
        Self {
            call,
            members,
            family,
            probe: false,
            pool: None,
            waits: 0,
            repeats: 0,
            looks: 0,
            admitted: false,
            told_to_wait: None,
        }
    }

    /// The same for some of the members.
    pub(super) fn of(&self, members: Vec<usize>) -> Self {
        Self {
            members,
            ..self.clone()
        }
    }

    /// Two halves of these members, or the one there is.
    pub(super) fn halves(&self, members: &[usize]) -> Vec<Self> {
        let (first, second) = members.split_at(members.len() / 2);
        [first, second]
            .into_iter()
            .filter(|part| !part.is_empty())
            .map(|part| self.of(part.to_vec()))
            .collect()
    }

    pub(super) fn may_wait(&self) -> bool {
        self.waits < MOST_WAITS
    }

    pub(super) fn may_be_sent_again(&self) -> bool {
        self.repeats < MOST_REPEATS
    }

    pub(super) fn sent_again(&self) -> Self {
        Self {
            repeats: self.repeats + 1,
            ..self.clone()
        }
    }

    /// What is asked for once EC2 has had its patience. Where it counts instances, half of them may fit sooner.
    pub(super) fn waiting(&self, error: &CloudError) -> Vec<Self> {
        let mut parts = match error.limit() {
            Limit::Requests => vec![self.clone()],
            Limit::Resources => self.halves(&self.members),
        };
        let told = Arc::new(error.repeated());
        for part in &mut parts {
            part.waits += 1;
            part.told_to_wait = Some(Arc::clone(&told));
        }
        parts
    }

    /// The error of instances that got no answer in time: EC2's own, if it throttled them before.
    fn unanswered(&self, why: &str) -> CloudError {
        self.throttled()
            .unwrap_or_else(|| self.call.unanswered(why))
    }

    /// The error of instances with a call that was not sent in time: EC2's own, if it throttled them before.
    pub(super) fn not_sent(&self, why: &str) -> CloudError {
        self.throttled().unwrap_or_else(|| self.call.not_sent(why))
    }

    fn throttled(&self) -> Option<CloudError> {
        self.told_to_wait.as_deref().map(CloudError::repeated)
    }

    /// Makes the call when EC2's pace allows it, if that is in time. Where its members were seen too long ago by then, they are
    /// looked at instead, and the call keeps its turn.
    pub(super) async fn send(
        mut self,
        fleet: Fleet,
        ids: Vec<InstanceId>,
        guard: Guard,
        seen: Option<Moment>,
    ) -> (Self, Answer) {
        let (begin, end) = if self.call.is_memory() {
            (guard.write(), guard.end())
        } else {
            (guard.begin(), guard.answer())
        };
        let (pace, paced) = (fleet.pace(), self.call.paced());
        if !self.admitted {
            if let Err(slow) = pace.admit(paced, ids.len(), begin).await {
                let affordable = slow.affordable;
                return (self, Answer::TooSlow { affordable });
            }
            self.admitted = true;
        }
        let in_time = if self.call.is_memory() {
            guard.may_write()
        } else {
            guard.may_begin()
        };
        let stale = seen.is_some_and(|seen| guard.is_stale(seen));
        if !in_time || (stale && self.looks == MOST_LOOKS) {
            return (self, Answer::TooSlow { affordable: 0 });
        }
        if stale {
            self.looks += 1;
            let looked = in_time_of(end, fleet.describe_again(&ids)).await;
            let answer = match looked {
                Some(Ok(seen)) => Answer::Seen(seen),
                Some(Err(error)) => Answer::NotSeen(error),
                None => Answer::TooSlow { affordable: 0 },
            };
            return (self, answer);
        }
        (self.admitted, self.looks) = (false, 0);
        let send_by = guard.send_by(seen);
        let fleet = match &send_by {
            Some(send_by) => fleet.sending_by(send_by),
            None => fleet,
        };
        let answer = in_time_of(end, self.call.make(&fleet, &ids)).await;
        let answer =
            answer.unwrap_or_else(|| Err(self.unanswered("time ran out before the answer came")));
        let pace = fleet.pace();
        match answer {
            Ok(changes) => {
                pace.accepted(paced);
                (self, Answer::Done(changes))
            }
            Err(error) => {
                if error.kind == CloudErrorKind::Throttled {
                    pace.refused(paced, error.limit());
                }
                let answer = match (send_by, error.kind) {
                    (Some(send_by), _) if send_by.held_back() => {
                        Answer::Late(self.not_sent("the pass ended before its turn came"))
                    }
                    (Some(send_by), CloudErrorKind::Unreachable | CloudErrorKind::Service)
                        if send_by.forbade_retry() =>
                    {
                        Answer::Late(error)
                    }
                    _ => Answer::Failed(error),
                };
                (self, answer)
            }
        }
    }
}

/// What comes of `work`, unless it takes longer than until `end`.
async fn in_time_of<T>(end: Option<Instant>, work: impl Future<Output = T>) -> Option<T> {
    match end {
        None => Some(work.await),
        Some(end) => timeout_at(end, work).await.ok(),
    }
}
