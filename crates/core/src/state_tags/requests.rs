//! Requests and overrides: the values of `curfew:request` and `curfew:override`. Passes read them, and never write or delete them.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Actor, MalformedTag, OVERRIDE_TAG, REQUEST_TAG};
use crate::timetable::{Action, Desired};

/// A requested plain start or stop: the value of `curfew:request`.
///
/// ```
/// use curfew_core::state_tags::RecordedRequest;
///
/// let request: RecordedRequest = "2026-11-23T20:15:00Z start by alice".parse()?;
/// assert_eq!(request.actor.as_str(), "alice");
/// assert_eq!(request.to_string(), "2026-11-23T20:15:00Z start by alice");
/// # Ok::<(), curfew_core::state_tags::MalformedTag>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RecordedRequest {
    /// The instant of the request, to the second.
    pub at: Timestamp,
    /// The requested action.
    pub action: Action,
    /// The actor of the request.
    pub actor: Actor,
}

impl fmt::Display for RecordedRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} by {}", self.at, self.action, self.actor)
    }
}

impl FromStr for RecordedRequest {
    type Err = MalformedTag;

    fn from_str(text: &str) -> Result<Self, MalformedTag> {
        let read = || {
            let (word, by) = text.split_once(" by ")?;
            let (at, action) = word.split_once(' ')?;
            Some(Self {
                at: at.parse().ok()?,
                action: match action {
                    "start" => Action::Start,
                    "stop" => Action::Stop,
                    _ => return None,
                },
                actor: Some(Actor::new(by)).filter(|_| !by.trim().is_empty())?,
            })
        };
        read().ok_or_else(|| {
            MalformedTag::new(REQUEST_TAG, text, "`2026-11-23T20:15:00Z start by WHO`")
        })
    }
}

/// A timed override of one instance: the value of `curfew:override`.
///
/// ```
/// use curfew_core::state_tags::Override;
///
/// let override_: Override = "running since 2026-11-23T18:00:00Z until 2026-11-23T22:00:00Z by alice".parse()?;
/// assert_eq!(override_.actor.as_str(), "alice");
/// assert_eq!(override_.to_string(), "running since 2026-11-23T18:00:00Z until 2026-11-23T22:00:00Z by alice");
/// # Ok::<(), curfew_core::state_tags::MalformedTag>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Override {
    /// The state that the override demands.
    pub state: OverrideState,
    /// The start of the override, to the second.
    pub since: Timestamp,
    /// The end of the override, exclusive.
    pub until: Timestamp,
    /// The actor of the override.
    pub actor: Actor,
}

impl Override {
    /// Whether the override is in force at `now`, unless a newer request has ended it.
    pub fn is_active(&self, now: Timestamp) -> bool {
        now < self.until
    }

    /// The end of the override, which is never before its start, even if the tag says so.
    pub fn end(&self) -> Timestamp {
        self.until.max(self.since)
    }
}

impl fmt::Display for Override {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            state,
            since,
            until,
            actor,
        } = self;
        write!(f, "{state} since {since} until {until} by {actor}")
    }
}

impl FromStr for Override {
    type Err = MalformedTag;

    fn from_str(text: &str) -> Result<Self, MalformedTag> {
        let malformed = || {
            MalformedTag::new(
                OVERRIDE_TAG,
                text,
                "`running since 2026-11-23T18:00:00Z until 2026-11-23T22:00:00Z by WHO`",
            )
        };
        let (state, rest) = text.split_once(" since ").ok_or_else(malformed)?;
        let (since, rest) = rest.split_once(" until ").ok_or_else(malformed)?;
        let (until, by) = rest.split_once(" by ").ok_or_else(malformed)?;
        let state = match state {
            "running" => OverrideState::Running,
            "stopped" => OverrideState::Stopped,
            "ignored" => OverrideState::Ignored,
            _ => return Err(malformed()),
        };
        let since = since.parse().map_err(|_| malformed())?;
        let until = until.parse().map_err(|_| malformed())?;
        if by.trim().is_empty() {
            Err(malformed())
        } else {
            Ok(Self {
                state,
                since,
                until,
                actor: Actor::new(by),
            })
        }
    }
}

/// The override in force at `now`, by a resource's tags: neither over nor ended by a newer request.
pub fn override_in_force(
    tags: &BTreeMap<String, String>,
    now: Timestamp,
) -> Result<Option<Override>, MalformedTag> {
    let Some(value) = tags.get(OVERRIDE_TAG) else {
        return Ok(None);
    };
    let override_: Override = value.trim().parse()?;
    let request = tags.get(REQUEST_TAG);
    let request = request.and_then(|value| value.trim().parse::<RecordedRequest>().ok());
    let ended = request.is_some_and(|request| request.at > override_.since);
    Ok(Some(override_).filter(|override_| !ended && override_.is_active(now)))
}

/// What an override keeps an instance at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum OverrideState {
    /// Running, regardless of the schedule.
    Running,
    /// Stopped, regardless of the schedule.
    Stopped,
    /// The instance is excluded from every action.
    Ignored,
}

impl OverrideState {
    /// The desired state under this override; `ignored` has none.
    pub fn desired(self) -> Desired {
        match self {
            Self::Running => Desired::Running,
            Self::Stopped => Desired::Stopped,
            Self::Ignored => Desired::Unmanaged,
        }
    }
}

impl fmt::Display for OverrideState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Running => "running",
            Self::Stopped => "stopped",
            Self::Ignored => "ignored",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn instant() -> impl Strategy<Value = Timestamp> {
        (0_i64..4_000_000_000).prop_map(|second| Timestamp::from_second(second).unwrap())
    }

    proptest! {
        #[test]
        fn the_text_of_an_override_parses_to_the_same_value(since in instant(), until in instant(), by in ".{1,80}", which in 0..3) {
            let state = [OverrideState::Running, OverrideState::Stopped, OverrideState::Ignored][usize::try_from(which).unwrap()];
            let override_ = Override { state, since, until, actor: Actor::new(&by) };
            prop_assert_eq!(override_.to_string().parse::<Override>().unwrap(), override_.clone());
            prop_assert!(override_.to_string().len() <= 256 && override_.end() >= since);
        }

        #[test]
        fn the_text_of_a_request_parses_to_the_same_value(at in instant(), start: bool, by in ".{1,80}") {
            let action = if start { Action::Start } else { Action::Stop };
            let request = RecordedRequest { at, action, actor: Actor::new(&by) };
            prop_assert_eq!(request.to_string().parse::<RecordedRequest>().unwrap(), request.clone());
            prop_assert!(request.to_string().len() <= 256);
        }

        #[test]
        fn no_tag_text_panics(text in ".{0,120}") {
            let _ = (text.parse::<Override>().is_ok(), text.parse::<RecordedRequest>().is_ok());
        }
    }

    #[test]
    fn the_error_names_the_malformed_tag() {
        for bad in [
            "running until 2026-11-23T22:00:00Z by alice",
            "running since 2026-11-23T18:00:00Z until later by alice",
            "running since soon until 2026-11-23T22:00:00Z by alice",
            "running since 2026-11-23T18:00:00Z until 2026-11-23T22:00:00Z by ",
            "up since 2026-11-23T18:00:00Z until 2026-11-23T22:00:00Z by alice",
        ] {
            let error = bad.parse::<Override>().unwrap_err().to_string();
            assert!(
                error.starts_with("the tag `curfew:override` is `"),
                "{error}"
            );
        }
        for bad in [
            "",
            "2026-11-23T20:15:00Z start by ",
            "2026-11-23T20:15:00Z start",
            "2026-11-23T20:15:00Z begin by alice",
            "today start by alice",
        ] {
            let error = bad.parse::<RecordedRequest>().unwrap_err().to_string();
            assert!(
                error.starts_with("the tag `curfew:request` is `"),
                "{error}"
            );
        }
    }

    #[test]
    fn an_override_is_in_force_until_its_end_or_a_newer_request() {
        let now = "2026-11-23T20:00:00Z".parse().unwrap();
        let in_force = |override_: &str, request: &str| {
            let tags = [(OVERRIDE_TAG, override_), (REQUEST_TAG, request)]
                .into_iter()
                .filter(|(_, value)| !value.is_empty())
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect();
            override_in_force(&tags, now)
                .map(|override_| override_.map(|override_| override_.to_string()))
        };
        let override_ = "running since 2026-11-23T18:00:00Z until 2026-11-23T20:00:01Z by alice";
        for (request, expected) in [
            ("", Some(override_)),
            ("2026-11-23T17:59:59Z stop by bob", Some(override_)),
            ("2026-11-23T18:00:00Z stop by bob", Some(override_)),
            ("2026-11-23T18:00:01Z stop by bob", None),
            ("unreadable", Some(override_)),
        ] {
            assert_eq!(
                in_force(override_, request).unwrap().as_deref(),
                expected,
                "{request}"
            );
        }
        let over = "running since 2026-11-23T18:00:00Z until 2026-11-23T20:00:00Z by alice";
        assert_eq!(in_force(over, ""), Ok(None));
        assert_eq!(in_force("", ""), Ok(None));
        assert!(in_force("unreadable", "").is_err());
    }

    #[test]
    fn an_override_ends_at_its_instant() {
        let text = "stopped since 2026-11-23T18:00:00Z until 2026-11-23T22:00:00Z by bob";
        let override_: Override = text.parse().unwrap();
        assert!(override_.is_active("2026-11-23T21:59:59Z".parse().unwrap()));
        assert!(!override_.is_active("2026-11-23T22:00:00Z".parse().unwrap()));
    }
}
