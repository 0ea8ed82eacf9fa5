//! Carrying out a plan: batches, the isolation of bad members, and the memory that is written afterwards.
//!
//! No choices are made here. What a step says is done, or its failure is reported.

use std::collections::{BTreeMap, HashMap};

use curfew_core::instance::{InstanceId, InstanceState};
use curfew_core::memory::{HOLD_TAG, LAST_TAG};
use curfew_core::plan::{HoldChange, Step, StepAction};
use tokio::time::Instant;

use crate::error::{CloudError, CloudErrorKind};
use crate::fleet::{Fleet, StateChange};

/// Instances per `StartInstances`, `StopInstances` or `CreateTags`. AWS asks for "smaller batches"; a hundred keeps a call
/// under EC2's answer time and makes one bad member cost seven calls to isolate. Larger saves calls when all goes well and
/// loses more when it does not.
const BATCH: usize = 100;

/// What became of a step.
#[derive(Debug)]
pub struct Outcome {
    /// The step, as planned.
    pub step: Step,
    /// How it went.
    pub result: StepResult,
}

/// How a step went.
#[derive(Debug)]
pub enum StepResult {
    /// The call was accepted, or none was needed, and the memory is written.
    Done {
        /// The state right after the call, as far as EC2 said.
        after: InstanceState,
    },
    /// The call was accepted and the memory could not be written: the next pass may do this step again, harmlessly.
    NotRemembered {
        /// The state right after the call.
        after: InstanceState,
        /// Why not.
        error: CloudError,
    },
    /// EC2 refused, or could not be asked.
    Failed(CloudError),
    /// Time ran out first; the next pass goes on.
    OutOfTime,
}

/// Until when new batches may be begun. What is under way is always finished.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(Option<Instant>);

impl Deadline {
    /// There is all the time in the world.
    pub const NONE: Self = Self(None);

    /// Begins nothing after `instant`.
    pub fn at(instant: Instant) -> Self {
        Self(Some(instant))
    }

    pub(crate) fn has_passed(self) -> bool {
        self.0.is_some_and(|instant| Instant::now() >= instant)
    }
}

/// Carries out `steps` and reports each, in their order.
pub async fn execute(fleet: &Fleet, steps: Vec<Step>, deadline: Deadline) -> Vec<Outcome> {
    let mut work = Execution {
        fleet,
        deadline,
        results: HashMap::new(),
    };
    // A hold is the wish itself: it is written first, so that a failing call is tried again by a later pass.
    work.place_holds(&steps).await;
    for action in [StepAction::Start, StepAction::Stop, StepAction::Hibernate] {
        work.call(action, &steps).await;
    }
    work.remember(&steps).await;
    let Execution { mut results, .. } = work;
    let outcome = |step: Step| {
        let after = step.state;
        let result = results
            .remove(&step.instance)
            .unwrap_or(StepResult::Done { after });
        Outcome { step, result }
    };
    steps.into_iter().map(outcome).collect()
}

struct Execution<'a> {
    fleet: &'a Fleet,
    deadline: Deadline,
    /// What is known so far. A step without an entry has not failed.
    results: HashMap<InstanceId, StepResult>,
}

impl Execution<'_> {
    async fn place_holds(&mut self, steps: &[Step]) {
        let mut values: BTreeMap<String, Vec<InstanceId>> = BTreeMap::new();
        for step in steps {
            if let HoldChange::Set(hold) = &step.remember.hold {
                values
                    .entry(hold.to_string())
                    .or_default()
                    .push(step.instance.clone());
            }
        }
        for (value, ids) in values {
            for batch in ids.chunks(BATCH) {
                for (ids, answer) in self
                    .isolating(
                        batch,
                        Call::Tag {
                            key: HOLD_TAG,
                            value: &value,
                        },
                    )
                    .await
                {
                    self.fail(&ids, answer.err());
                }
            }
        }
    }

    async fn call(&mut self, action: StepAction, steps: &[Step]) {
        let ids: Vec<InstanceId> = steps
            .iter()
            .filter(|step| step.action == action && !self.results.contains_key(&step.instance))
            .map(|step| step.instance.clone())
            .collect();
        for batch in ids.chunks(BATCH) {
            for (ids, answer) in self.isolating(batch, Call::Change(action)).await {
                match answer {
                    Ok(changes) => self.accept(action, &ids, &changes),
                    Err(failure) => self.fail(&ids, Some(failure)),
                }
            }
        }
    }

    /// EC2 answers for each instance; where an answer is missing, the call's own meaning stands in.
    fn accept(&mut self, action: StepAction, ids: &[InstanceId], changes: &[StateChange]) {
        let presumed = if action == StepAction::Start {
            InstanceState::Pending
        } else {
            InstanceState::Stopping
        };
        for id in ids {
            let told = changes
                .iter()
                .find(|change| change.instance == *id)
                .and_then(|change| change.after);
            self.results.insert(
                id.clone(),
                StepResult::Done {
                    after: told.unwrap_or(presumed),
                },
            );
        }
    }

    async fn remember(&mut self, steps: &[Step]) {
        let mut lasts: BTreeMap<String, Vec<InstanceId>> = BTreeMap::new();
        let mut cleared: Vec<InstanceId> = Vec::new();
        for step in steps {
            let after = match self.results.get(&step.instance) {
                None => step.state,
                Some(StepResult::Done { after }) => *after,
                Some(_) => continue,
            };
            if let Some(mut last) = step.remember.last.clone() {
                last.pending &= after != InstanceState::Running;
                lasts
                    .entry(last.to_string())
                    .or_default()
                    .push(step.instance.clone());
            }
            if step.remember.hold == HoldChange::Clear {
                cleared.push(step.instance.clone());
            }
        }
        for (value, ids) in lasts {
            self.write_memory(
                &ids,
                Call::Tag {
                    key: LAST_TAG,
                    value: &value,
                },
                steps,
            )
            .await;
        }
        self.write_memory(&cleared, Call::Untag { key: HOLD_TAG }, steps)
            .await;
    }

    async fn write_memory(&mut self, ids: &[InstanceId], call: Call<'_>, steps: &[Step]) {
        for batch in ids.chunks(BATCH) {
            for (ids, answer) in self.isolating(batch, call).await {
                let Err(failure) = answer else { continue };
                for id in ids {
                    let known = steps
                        .iter()
                        .find(|step| step.instance == id)
                        .map(|step| step.state);
                    let after = match self.results.get(&id) {
                        Some(
                            StepResult::Done { after } | StepResult::NotRemembered { after, .. },
                        ) => Some(*after),
                        _ => known,
                    };
                    let Some(after) = after else { continue };
                    let result = match &failure {
                        Failure::Call(error) => StepResult::NotRemembered {
                            after,
                            error: error.repeated(),
                        },
                        Failure::OutOfTime => StepResult::OutOfTime,
                    };
                    self.results.insert(id, result);
                }
            }
        }
    }

    fn fail(&mut self, ids: &[InstanceId], failure: Option<Failure>) {
        let Some(failure) = failure else { return };
        for id in ids {
            let result = match &failure {
                Failure::Call(error) => StepResult::Failed(error.repeated()),
                Failure::OutOfTime => StepResult::OutOfTime,
            };
            self.results.insert(id.clone(), result);
        }
    }

    /// Makes the call for all of `ids`. EC2 refuses a call for one member's sake, so a refused batch is halved until the bad
    /// member stands alone; every instance is in exactly one of the parts returned.
    async fn isolating(
        &self,
        ids: &[InstanceId],
        call: Call<'_>,
    ) -> Vec<(Vec<InstanceId>, Result<Vec<StateChange>, Failure>)> {
        let mut waiting = vec![ids.to_vec()];
        let mut parts = Vec::new();
        while let Some(ids) = waiting.pop() {
            if ids.is_empty() {
                continue;
            }
            if self.deadline.has_passed() {
                parts.push((ids, Err(Failure::OutOfTime)));
                continue;
            }
            match call.send(self.fleet, &ids).await {
                Err(error) if ids.len() > 1 && is_for_one_members_sake(&error) => {
                    let (first, second) = ids.split_at(ids.len() / 2);
                    waiting.push(second.to_vec());
                    waiting.push(first.to_vec());
                }
                answer => parts.push((ids, answer.map_err(Failure::Call))),
            }
        }
        parts
    }
}

enum Failure {
    Call(CloudError),
    OutOfTime,
}

#[derive(Clone, Copy)]
enum Call<'a> {
    Change(StepAction),
    Tag { key: &'a str, value: &'a str },
    Untag { key: &'a str },
}

impl Call<'_> {
    async fn send(self, fleet: &Fleet, ids: &[InstanceId]) -> Result<Vec<StateChange>, CloudError> {
        match self {
            Self::Change(StepAction::Start) => fleet.start(ids).await,
            Self::Change(StepAction::Stop) => fleet.stop(ids, false).await,
            Self::Change(StepAction::Hibernate) => fleet.stop(ids, true).await,
            Self::Change(StepAction::Record) => Ok(Vec::new()),
            Self::Tag { key, value } => fleet.tag(ids, key, value).await.map(|()| Vec::new()),
            Self::Untag { key } => fleet.untag(ids, key).await.map(|()| Vec::new()),
        }
    }
}

/// Whether a smaller batch may fare better: not when AWS can't be reached, does not know us, or asks for patience.
fn is_for_one_members_sake(error: &CloudError) -> bool {
    match error.kind {
        CloudErrorKind::NotFound
        | CloudErrorKind::Denied
        | CloudErrorKind::Capacity
        | CloudErrorKind::WrongState
        | CloudErrorKind::Refused => true,
        CloudErrorKind::Unreachable
        | CloudErrorKind::Credentials
        | CloudErrorKind::Expired
        | CloudErrorKind::Throttled
        | CloudErrorKind::Service => false,
    }
}
