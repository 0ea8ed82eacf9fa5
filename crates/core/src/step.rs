//! What is done to an instance, and what is remembered about it.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::instance::{Instance, InstanceId, InstanceState, InstanceType, Region};
use crate::request::RequestTags;
use crate::state_tags::{
    Cause, LAST_TAG, LastApplied, NextRetry, RETRY_TAG, ReasonCode, Retry, TYPE_TAG,
};
use crate::timetable::{Action, Edge};

/// One thing to do to one instance: what a person says is written first, then what is known at first sight, then comes the
/// call, and then what to remember about it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Step {
    /// The instance.
    pub instance: InstanceId,
    /// Its name, for people.
    pub name: Option<String>,
    /// The region it lives in.
    pub region: Region,
    /// Its state when the decision was made.
    pub state: InstanceState,
    /// What to do.
    pub action: StepAction,
    /// The types that a start tries; nothing where it is started as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub types: Option<Box<TypesToTry>>,
    /// On whose behalf.
    pub cause: Cause,
    /// The edge that this applies, if it applies one.
    pub edge: Option<Edge>,
    /// A remark for people, such as why a hibernation became a plain stop.
    pub note: Option<String>,
    /// What the person who asked says. It is written before anything else: where it can't be, no call is made.
    #[serde(skip)]
    pub request_tags: Option<Box<RequestTags>>,
    /// The first `curfew:last` of an instance that has none. It is written before the call.
    #[serde(skip)]
    pub adopt: Option<LastApplied>,
    /// A `curfew:last` that can't be believed, which the memory of this step replaces.
    #[serde(skip)]
    pub replaces: Option<String>,
    /// What becomes of the call where that can't be written.
    #[serde(skip)]
    pub on_tag_write_failure: TagWriteFailure,
    /// What to write to the instance's tags once the call was accepted.
    #[serde(skip)]
    pub tag_changes: TagChanges,
    /// When it is tried again if EC2 refuses the call for this instance's sake.
    #[serde(skip)]
    pub if_refused: Option<NextRetry>,
}

/// What becomes of a call where no memory can be written: denied, or the instance has as many tags as AWS allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TagWriteFailure {
    /// It is not made: without memory it would be made again and again.
    #[default]
    SkipCall,
    /// It is made: an enforced schedule and an override in force want their state at every pass, remembered or not.
    CallAnyway,
}

impl Step {
    /// A step for `instance` with nothing to remember.
    pub fn new(instance: &Instance, action: StepAction, cause: Cause) -> Self {
        Self {
            instance: instance.id.clone(),
            name: instance.name().map(str::to_owned),
            region: instance.region.clone(),
            state: instance.state,
            action,
            types: None,
            cause,
            edge: None,
            note: None,
            request_tags: None,
            adopt: None,
            replaces: None,
            on_tag_write_failure: TagWriteFailure::default(),
            tag_changes: TagChanges::default(),
            if_refused: None,
        }
    }

    /// Adds a remark for people to those that are noted already.
    pub fn remark(&mut self, remark: String) {
        self.note = Some(match self.note.take() {
            Some(note) => format!("{note}; {remark}"),
            None => remark,
        });
    }
}

/// The types that a start tries, one after the other, until EC2 has room for one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TypesToTry {
    /// The type that the instance is meant to have.
    pub wanted: InstanceType,
    /// In this order; the wanted one is among them. A type that the instance does not have yet is given to it while it is
    /// stopped, and `curfew:type` says so before. If there is room for none, it gets the wanted type back.
    pub order: Vec<InstanceType>,
}

/// The call a step makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum StepAction {
    /// `StartInstances`.
    Start,
    /// `StopInstances`.
    Stop,
    /// `StopInstances` with hibernation.
    Hibernate,
    /// No call: only the memory is written, since the instance already is as it should be.
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
    /// What the call brings about, if there is one.
    pub fn action(self) -> Option<Action> {
        match self {
            Self::Start => Some(Action::Start),
            Self::Stop | Self::Hibernate => Some(Action::Stop),
            Self::Record => None,
        }
    }
}

/// What a step writes to the instance's tags.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TagChanges {
    /// A new value for `curfew:last`.
    pub last: Option<LastApplied>,
    /// What becomes of `curfew:retry`.
    pub retry: RetryChange,
    /// What becomes of `curfew:type`.
    pub fallback: FallbackChange,
}

impl TagChanges {
    /// What is left to write when the call was answered by the state `after`: emulators start at once, and then no start has
    /// come to nothing. Whether its word has settled is for a later pass to see.
    #[must_use]
    pub fn after_response(mut self, after: InstanceState) -> Self {
        if let (InstanceState::Running, RetryChange::Set(_)) = (after, &self.retry) {
            self.retry = RetryChange::Clear;
        }
        self
    }

    /// What is written, now that EC2 refused the call with this error code as its reason: the word stays due, and is tried
    /// again later.
    pub fn refused(next: NextRetry, code: &str) -> Self {
        Self {
            retry: RetryChange::Set(next.because(ReasonCode::new(code))),
            ..Self::default()
        }
    }

    /// Makes the tags what they are once this is written.
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

/// What becomes of the memory of a refusal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum RetryChange {
    /// As it is.
    #[default]
    Keep,
    /// This replaces it.
    Set(Retry),
    /// It is removed.
    Clear,
}

/// What becomes of the memory of the wanted type. It is written before a type is changed, never afterwards, and removed
/// when a start as the wanted type was accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FallbackChange {
    /// As it is.
    #[default]
    Keep,
    /// It is removed; by a start that tries types, unless it ends with another than the wanted one.
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
    fn a_start_that_is_answered_by_running_has_not_come_to_nothing() {
        let remember = |retry: RetryChange| TagChanges {
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
            let after_response = remember(retry.clone()).after_response(after);
            assert_eq!(after_response.retry, left, "{retry:?}, {after}");
        }
    }

    #[test]
    fn a_refusal_is_remembered_with_ec2s_code() {
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
    fn what_is_remembered_is_put_into_the_tags() {
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
    fn remarks_are_added_to_each_other() {
        let instance = crate::example::instance("web");
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
