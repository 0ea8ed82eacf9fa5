//! The result of a request for each instance, in the shape shared by the HTTP API, the page and the command line. Its words
//! are an interface: scripts parse them.

use curfew_core::assess::{Assessment, assess};
use curfew_core::instance::{Instance, InstanceId, InstanceState, Region, ResourceKind};
use curfew_core::request::RequestKind;
use curfew_core::skip::Skip;
use curfew_core::state_tags::Override;
use curfew_core::step::{RetryChange, Step, StepAction, TagChanges};
use curfew_core::timetable::Edge;
use curfew_core::world::World;
use jiff::Timestamp;
use serde::Serialize;

use crate::error::CloudError;
use crate::execute::{Outcome, StepResult, refusal};

/// The result of a request for one instance, with the instance's state before and after.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Change {
    /// The instance's id.
    pub id: InstanceId,
    /// The kind of the resource.
    pub kind: ResourceKind,
    /// The value of the `Name` tag; null if the instance has none.
    pub name: Option<String>,
    /// The instance's region.
    pub region: Region,
    /// The state before the request.
    pub state: InstanceState,
    /// The state after the call, from EC2's response: a start is `pending` for a while.
    pub after: InstanceState,
    /// The result for this instance.
    pub result: Verdict,
    /// The call that was made, or that would be made without `dry_run`; null if none is needed.
    pub action: Option<StepAction>,
    /// The cause of the change, or the reason for none, in one sentence.
    pub reason: String,
    /// The next scheduled action for the instance, and when it is due.
    pub next: Option<Edge>,
    /// The override in force after the request.
    #[serde(rename = "override")]
    pub override_: Option<Override>,
}

/// The result of a request for one instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// EC2 accepted the start; the instance is starting.
    Starting,
    /// EC2 accepted the start, and the instance is already running (emulators respond with the final state).
    Started,
    /// EC2 accepted the stop; the instance is stopping.
    Stopping,
    /// EC2 accepted the stop, and the instance is already stopped.
    Stopped,
    /// EC2 accepted the hibernation; the instance is stopping.
    Hibernating,
    /// EC2 accepted the hibernation, and the instance is already stopped.
    Hibernated,
    /// No call was needed: the instance is in the requested state. A request that lasts until the next edge is recorded
    /// nevertheless.
    Unchanged,
    /// No call was needed; the override is in force.
    Overridden,
    /// No call was needed; the instance follows its schedule again.
    Resumed,
    /// EC2 accepts no call while the instance changes its state. The request is recorded, and a later pass makes the call.
    Deferred,
    /// The request is recorded on the instance, but the call failed for the given reason; a later pass retries it.
    Recorded,
    /// Nothing was done, for the given reason.
    Skipped,
    /// The request could not be recorded, for the given reason, so nothing was done.
    Failed,
    /// With `dry_run`: nothing was done; `action` is what would be done.
    Planned,
}

impl Verdict {
    fn of(step: &Step, after: InstanceState, request_kind: Option<RequestKind>) -> Self {
        let in_flight = matches!(step.state, InstanceState::Pending | InstanceState::Stopping);
        match (step.action, after) {
            (StepAction::Start, InstanceState::Running) => Self::Started,
            (StepAction::Start, _) => Self::Starting,
            (StepAction::Stop, InstanceState::Stopped) => Self::Stopped,
            (StepAction::Stop, _) => Self::Stopping,
            (StepAction::Hibernate, InstanceState::Stopped) => Self::Hibernated,
            (StepAction::Hibernate, _) => Self::Hibernating,
            // A note on a step without a call says what a later pass will do.
            (StepAction::Record, _) if in_flight && step.note.is_some() => Self::Deferred,
            (StepAction::Record, _) => match (&step.request_tags, request_kind) {
                (_, Some(RequestKind::Resume)) => Self::Resumed,
                (Some(request_tags), _)
                    if request_tags.override_.is_some() && request_tags.request.is_none() =>
                {
                    Self::Overridden
                }
                _ => Self::Unchanged,
            },
        }
    }
}

impl Change {
    /// The change for an instance without a step.
    pub fn skipped(instance: &Instance, assessment: &Assessment<'_>, skip: &Skip) -> Self {
        let reason = skip.detail.clone();
        Self::unchanged(instance, assessment, (Verdict::Skipped, None, reason))
    }

    /// The result of a request whose call, if there was one, has not changed the state yet.
    fn unchanged(
        instance: &Instance,
        assessment: &Assessment<'_>,
        (result, action, reason): (Verdict, Option<StepAction>, String),
    ) -> Self {
        Self {
            id: instance.id.clone(),
            kind: ResourceKind::Instance,
            name: instance.name().map(str::to_owned),
            region: instance.region.clone(),
            state: instance.state,
            after: instance.state,
            result,
            action,
            reason,
            next: assessment.next_edge,
            override_: assessment.override_.clone(),
        }
    }

    /// The change that a step would make.
    pub fn planned(instance: &Instance, step: &Step, world: &World<'_>, now: Timestamp) -> Self {
        let mut change = Self::with_tags(instance, step, &step.tag_changes, true, world, now);
        change.result = Verdict::Planned;
        change
    }

    /// The change made by a step; `tell` renders an error for the caller.
    pub fn made(
        instance: &Instance,
        outcome: &Outcome,
        world: &World<'_>,
        now: Timestamp,
        render: impl Fn(&CloudError) -> String,
    ) -> Self {
        let Outcome {
            step,
            result,
            request_written,
        } = outcome;
        let refused = match result {
            StepResult::Failed(error) => refusal(step, error),
            _ => None,
        };
        let next_attempt = refused.as_ref().and_then(|changes| match &changes.retry {
            RetryChange::Set(retry) => Some(retry.next_attempt_at),
            RetryChange::Keep | RetryChange::Clear => None,
        });
        let (written, after) = match result {
            StepResult::Done { after } => (step.tag_changes.clone(), *after),
            StepResult::TagsNotWritten { after, .. } => (TagChanges::default(), *after),
            StepResult::Failed(_) | StepResult::OutOfTime => {
                (refused.unwrap_or_default(), step.state)
            }
            // A newer request or override decides.
            StepResult::Dropped { .. } => (TagChanges::default(), step.state),
        };
        let mut change = Self::with_tags(instance, step, &written, *request_written, world, now);
        change.after = after;
        change.result = Verdict::of(step, after, request_kind(world));
        let failure = if *request_written {
            Verdict::Recorded
        } else {
            Verdict::Failed
        };
        match result {
            StepResult::Done { .. } => {}
            StepResult::TagsNotWritten { error, .. } => {
                change.reason =
                    format!("done, but the tags could not be written: {}", render(error));
            }
            StepResult::Failed(error) => {
                change.result = failure;
                change.reason = match (next_attempt, request_written) {
                    (Some(at), true) => {
                        format!("{}; it is recorded, and retried at {at}", render(error))
                    }
                    (None, true) => {
                        format!(
                            "{}; it is recorded, and a later pass retries it",
                            render(error)
                        )
                    }
                    (_, false) => render(error),
                };
            }
            StepResult::Dropped { because } => {
                change.result = Verdict::Skipped;
                change.reason = format!("not done, because the plan changed: {because}");
            }
            StepResult::OutOfTime => {
                change.result = failure;
                change.reason = String::from(if *request_written {
                    "out of time; it is recorded, and a later pass executes it"
                } else {
                    "out of time"
                });
            }
        }
        change
    }

    /// The change as the instance will be evaluated once `written` is in its tags.
    fn with_tags(
        instance: &Instance,
        step: &Step,
        written: &TagChanges,
        request_written: bool,
        world: &World<'_>,
        now: Timestamp,
    ) -> Self {
        let mut later = instance.clone();
        if let Some(request_tags) = step.request_tags.as_ref().filter(|_| request_written) {
            request_tags.write_to(&mut later.tags);
        }
        written.write_to(&mut later.tags);
        let without_request = World {
            request: None,
            ..world.clone()
        };
        let assessment = assess(&later, &without_request, now);
        let result = Verdict::of(step, instance.state, request_kind(world));
        let reason = match &step.note {
            Some(note) => format!("{}: {note}", step.cause),
            None => step.cause.to_string(),
        };
        Self::unchanged(instance, &assessment, (result, Some(step.action), reason))
    }
}

fn request_kind(world: &World<'_>) -> Option<RequestKind> {
    world.request.map(|request| request.kind)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    use curfew_core::instance::{AccountId, CapacitySource, Hibernation, Purchase, RootDevice};
    use curfew_core::schedule_set::ScheduleSet;
    use curfew_core::state_tags::{Actor, Cause};

    fn made(action: StepAction, before: InstanceState, after: InstanceState) -> Change {
        let instance = Instance {
            id: "i-0abc1234def567890".parse().unwrap(),
            region: Region::new("eu-west-3"),
            account: AccountId::new("123456789012"),
            state: before,
            state_word: None,
            launched_at: None,
            instance_type: "t3.micro".into(),
            availability_zone: None,
            tags: BTreeMap::new(),
            purchase: Purchase::OnDemand,
            capacity: CapacitySource::default(),
            operator: None,
            root_device: RootDevice::Ebs,
            hibernation: Hibernation::Configured,
            state_reason: None,
            transition_reason: None,
        };
        let outcome = Outcome {
            step: Step::new(&instance, action, Cause::Request(Actor::new("alice"))),
            result: StepResult::Done { after },
            request_written: true,
        };
        let schedule_set = ScheduleSet {
            tag: ScheduleSet::DEFAULT_TAG.to_owned(),
            schedules: BTreeMap::new(),
        };
        let world = World::without_request(&schedule_set, std::slice::from_ref(&instance));
        Change::made(
            &instance,
            &outcome,
            &world,
            Timestamp::UNIX_EPOCH,
            ToString::to_string,
        )
    }

    /// Emulators answer with the final state, AWS with the one on the way.
    #[test]
    fn the_result_follows_the_state_in_ec2s_response() {
        use InstanceState::{Pending, Running, Stopped, Stopping};
        for (action, before, after, verdict) in [
            (StepAction::Start, Stopped, Pending, Verdict::Starting),
            (StepAction::Start, Stopped, Running, Verdict::Started),
            (StepAction::Stop, Running, Stopping, Verdict::Stopping),
            (StepAction::Stop, Running, Stopped, Verdict::Stopped),
            (
                StepAction::Hibernate,
                Running,
                Stopping,
                Verdict::Hibernating,
            ),
            (StepAction::Hibernate, Running, Stopped, Verdict::Hibernated),
            (StepAction::Record, Running, Running, Verdict::Unchanged),
        ] {
            let change = made(action, before, after);
            assert_eq!(
                (change.state, change.after, change.result),
                (before, after, verdict)
            );
        }
    }
}
