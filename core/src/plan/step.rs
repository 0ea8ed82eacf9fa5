//! What is done to an instance, and what is remembered about it.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::instance::{Instance, InstanceId, InstanceState, InstanceType, Region};
use crate::memory::{
    Cause, HOLD_TAG, Hold, LAST_TAG, Last, NextTry, RETRY_TAG, ReasonCode, Retry, TYPE_TAG,
};
use crate::timetable::{Action, Edge};

/// One thing to do to one instance: a call, then what to remember about it.
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
    /// What to write to the instance's tags once the call was accepted.
    #[serde(skip)]
    pub remember: Remember,
    /// What to write if EC2 refuses the call for this instance's sake; nothing where only a person could ask again.
    #[serde(skip)]
    pub if_refused: Option<Box<IfRefused>>,
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
            remember: Remember::default(),
            if_refused: None,
        }
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
pub struct Remember {
    /// A new value for `curfew:last`.
    pub last: Option<Last>,
    /// What becomes of `curfew:hold`.
    pub hold: HoldChange,
    /// What becomes of `curfew:retry`.
    pub retry: RetryChange,
    /// What becomes of `curfew:type`.
    pub fallback: FallbackChange,
}

impl Remember {
    /// What is left to write when the call was answered by the state `after`: emulators start at once, and then there is
    /// nothing to wait for.
    #[must_use]
    pub fn once_seen(mut self, after: InstanceState) -> Self {
        if after == InstanceState::Running {
            if let Some(last) = &mut self.last {
                last.pending = false;
            }
            if let RetryChange::Set(_) = self.retry {
                self.retry = RetryChange::Clear;
            }
        }
        self
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
        match &self.hold {
            HoldChange::Keep => {}
            HoldChange::Set(hold) => put(HOLD_TAG, Some(hold.to_string())),
            HoldChange::Clear => put(HOLD_TAG, None),
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

/// What a step writes instead when EC2 refuses its call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IfRefused {
    /// All but `curfew:retry`.
    pub remember: Remember,
    /// When it is tried again.
    pub next: NextTry,
}

impl IfRefused {
    /// What is written, now that EC2 gave this error code as its reason.
    pub fn because(&self, code: &str) -> Remember {
        Remember {
            retry: RetryChange::Set(self.next.because(ReasonCode::new(code))),
            ..self.remember.clone()
        }
    }
}

/// What becomes of an instance's hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum HoldChange {
    /// As it is.
    #[default]
    Keep,
    /// A new one replaces it.
    Set(Hold),
    /// It is removed.
    Clear,
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
