//! Steps: the call to make for an instance, and the tags to write.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::instance::{Instance, InstanceId, InstanceState, InstanceType, Region, ResourceKind};
use crate::request::RequestTags;
use crate::state_tags::{
    Cause, LAST_TAG, LastApplied, NextRetry, RETRY_TAG, ReasonCode, Retry, TYPE_TAG,
};
use crate::timetable::{Action, Edge};

/// One action on one instance, in this order: the tags of a request are written, then the first `curfew:last` if the instance has
/// none, then the call is made, and then its result is recorded in the tags.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Step {
    /// The instance's id.
    #[serde(rename = "id")]
    pub instance: InstanceId,
    /// The kind of the resource.
    pub kind: ResourceKind,
    /// The value of its tag `Name`.
    pub name: Option<String>,
    /// The region of the instance.
    pub region: Region,
    /// The observed state that the decision is based on.
    pub state: InstanceState,
    /// The call to make.
    pub action: StepAction,
    /// The types that a start tries; none if the instance is started with its current type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub types: Option<Box<TypesToTry>>,
    /// The schedule, override or request that demands the step.
    pub cause: Cause,
    /// The edge that the step applies, if it applies one.
    pub edge: Option<Edge>,
    /// A remark for readers, such as why a hibernation became a plain stop.
    pub note: Option<String>,
    /// The tags of the request. They are written first; if that fails, no call is made.
    #[serde(skip)]
    pub request_tags: Option<Box<RequestTags>>,
    /// The first `curfew:last` of an instance that has none, written before the call.
    #[serde(skip)]
    pub initial_tag: Option<LastApplied>,
    /// The value of an invalid `curfew:last` that this step overwrites.
    #[serde(skip)]
    pub replaces: Option<String>,
    /// Whether the call is made if the tags can't be written.
    #[serde(skip)]
    pub on_tag_write_failure: TagWriteFailure,
    /// The changes to the instance's tags after EC2 accepted the call.
    #[serde(skip)]
    pub tag_changes: TagChanges,
    /// The next attempt, if EC2 refuses the call because of this instance.
    #[serde(skip)]
    pub if_refused: Option<NextRetry>,
}

/// Whether a call is made if its tags can't be written: the permission is denied, or the instance has as many tags as AWS allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TagWriteFailure {
    /// The call is not made: without a record it would be repeated at every pass.
    #[default]
    SkipCall,
    /// The call is made: an enforced schedule and an override in force apply at every pass, recorded or not.
    CallAnyway,
}

impl Step {
    /// Creates a step for `instance` that changes no tags.
    pub fn new(instance: &Instance, action: StepAction, cause: Cause) -> Self {
        Self {
            instance: instance.id.clone(),
            kind: ResourceKind::Instance,
            name: instance.name().map(str::to_owned),
            region: instance.region.clone(),
            state: instance.state,
            action,
            types: None,
            cause,
            edge: None,
            note: None,
            request_tags: None,
            initial_tag: None,
            replaces: None,
            on_tag_write_failure: TagWriteFailure::default(),
            tag_changes: TagChanges::default(),
            if_refused: None,
        }
    }

    /// Appends a remark to the note.
    pub fn remark(&mut self, remark: String) {
        self.note = Some(match self.note.take() {
            Some(note) => format!("{note}; {remark}"),
            None => remark,
        });
    }
}

/// The types that a start tries, one after the other, until EC2 has capacity for one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TypesToTry {
    /// The type that the instance should have.
    pub wanted: InstanceType,
    /// All types in the order of the attempts, with `wanted` among them. The type is changed while the instance is stopped, after
    /// `curfew:type` records the change. If EC2 has capacity for none of them, the instance gets the type `wanted` again.
    pub order: Vec<InstanceType>,
}

/// The EC2 call that a step makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum StepAction {
    /// Calls `StartInstances` for the instance.
    Start,
    /// Calls `StopInstances` for the instance.
    Stop,
    /// Calls `StopInstances` with hibernation.
    Hibernate,
    /// No call: only tags are written, since the instance has the desired state already.
    Record,
}

impl fmt::Display for StepAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Hibernate => "hibernate",
            Self::Record => "record",
        })
    }
}

impl StepAction {
    /// The action of the call, if there is one.
    pub fn action(self) -> Option<Action> {
        match self {
            Self::Start => Some(Action::Start),
            Self::Stop | Self::Hibernate => Some(Action::Stop),
            Self::Record => None,
        }
    }
}

/// The changes that a step makes to the instance's tags.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TagChanges {
    /// A new value for `curfew:last`.
    pub last: Option<LastApplied>,
    /// The change to `curfew:retry`.
    pub retry: RetryChange,
    /// The change to `curfew:type`.
    pub fallback: FallbackChange,
}

impl TagChanges {
    /// The changes to write when EC2's response has the state `after`. Emulators start instances at once; then the start has
    /// succeeded, and `curfew:retry` is removed. A later pass records that the directive has settled.
    #[must_use]
    pub fn after_response(mut self, after: InstanceState) -> Self {
        if let (InstanceState::Running, RetryChange::Set(_)) = (after, &self.retry) {
            self.retry = RetryChange::Clear;
        }
        self
    }

    /// The changes to write when EC2 refused the call with this error code: the directive stays due, and `next` is its next attempt.
    pub fn refused(next: NextRetry, code: &str) -> Self {
        Self {
            retry: RetryChange::Set(next.with_code(ReasonCode::new(code))),
            ..Self::default()
        }
    }

    /// Applies the changes to `tags`.
    pub fn write_to(&self, tags: &mut BTreeMap<String, String>) {
        let mut put = |key: &str, value: Option<String>| match value {
            Some(value) => drop(tags.insert(key.to_owned(), value)),
            None => drop(tags.remove(key)),
        };
        if let Some(last) = &self.last {
            put(LAST_TAG, Some(last.to_string()));
        }
        match &self.retry {
            RetryChange::Keep => {}
            RetryChange::Set(retry) => put(RETRY_TAG, Some(retry.to_string())),
            RetryChange::Clear => put(RETRY_TAG, None),
        }
        match self.fallback {
            FallbackChange::Keep => {}
            FallbackChange::Clear => put(TYPE_TAG, None),
        }
    }
}

/// A change to `curfew:retry`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum RetryChange {
    /// The tag is unchanged.
    #[default]
    Keep,
    /// The tag gets this value.
    Set(Retry),
    /// The tag is removed.
    Clear,
}

/// A change to `curfew:type`. The tag is written before a type is changed, never afterwards, and removed when a start with the
/// desired type was accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FallbackChange {
    /// The tag is unchanged.
    #[default]
    Keep,
    /// The tag is removed; a start that tries several types removes it only if it ends with the desired one.
    Clear,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state_tags::Retry;

    fn refused() -> Retry {
        "2026-11-23T07:00:00Z start 1x Code first 2026-11-23T07:00:00Z next 2026-11-23T07:01:00Z"
            .parse()
            .unwrap()
    }

    #[test]
    fn a_response_with_the_state_running_clears_the_retry() {
        let changes = |retry: RetryChange| TagChanges {
            retry,
            ..TagChanges::default()
        };
        let set = || RetryChange::Set(refused());
        for (retry, after, left) in [
            (set(), InstanceState::Running, RetryChange::Clear),
            (set(), InstanceState::Pending, set()),
            (RetryChange::Keep, InstanceState::Running, RetryChange::Keep),
            (
                RetryChange::Clear,
                InstanceState::Running,
                RetryChange::Clear,
            ),
        ] {
            let written = changes(retry.clone()).after_response(after);
            assert_eq!(written.retry, left, "{retry:?}, {after}");
        }
    }

    #[test]
    fn a_refusal_is_recorded_with_ec2s_error_code() {
        let at = "2026-11-23T07:00:00Z".parse().unwrap();
        let next = NextRetry::at(at, at, Action::Start, None);
        assert_eq!(
            TagChanges::refused(next, "Code"),
            TagChanges {
                retry: RetryChange::Set(refused()),
                ..TagChanges::default()
            }
        );
    }

    #[test]
    fn changes_are_applied_to_the_tags() {
        let mut tags = BTreeMap::from(
            [(RETRY_TAG, "old"), (TYPE_TAG, "old"), ("Name", "web")]
                .map(|(key, value)| (key.to_owned(), value.to_owned())),
        );
        TagChanges::default().write_to(&mut tags);
        assert_eq!(tags.len(), 3);
        let last: LastApplied = "2026-11-23T07:00:00Z start schedule office"
            .parse()
            .unwrap();
        TagChanges {
            last: Some(last.clone()),
            retry: RetryChange::Set(refused()),
            fallback: FallbackChange::Clear,
        }
        .write_to(&mut tags);
        let texts: Vec<(&str, &str)> = tags
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
            .collect();
        let (last, retry) = (last.to_string(), refused().to_string());
        assert_eq!(
            texts,
            [("Name", "web"), (LAST_TAG, &last), (RETRY_TAG, &retry)]
        );
        TagChanges {
            retry: RetryChange::Clear,
            ..TagChanges::default()
        }
        .write_to(&mut tags);
        assert!(!tags.contains_key(RETRY_TAG));
    }

    #[test]
    fn remarks_are_appended_to_the_note() {
        let instance = crate::test_support::instance("web");
        let mut step = Step::new(&instance, StepAction::Record, Cause::Adopted);
        step.remark("one".into());
        step.remark("two".into());
        assert_eq!(step.note.as_deref(), Some("one; two"));
    }

    #[test]
    fn hibernation_is_a_stop() {
        let actions = [
            (StepAction::Start, "start", Some(Action::Start)),
            (StepAction::Stop, "stop", Some(Action::Stop)),
            (StepAction::Hibernate, "hibernate", Some(Action::Stop)),
            (StepAction::Record, "record", None),
        ];
        for (call, word, action) in actions {
            assert_eq!((call.to_string().as_str(), call.action()), (word, action));
        }
    }
}
