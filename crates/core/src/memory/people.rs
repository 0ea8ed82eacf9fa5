//! What people want: the values of `curfew:request` and `curfew:override`. Passes read them, and never write or delete them.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Actor, MalformedTag, OVERRIDE_TAG, REQUEST_TAG};
use crate::timetable::{Action, Desired};

/// A plain start or stop that a person asked for: the value of `curfew:request`.
///
/// ```
/// use curfew_core::memory::Requested;
///
/// let request: Requested = "2026-11-23T20:15:00Z start by alice".parse()?;
/// assert_eq!(request.by.as_str(), "alice");
/// assert_eq!(request.to_string(), "2026-11-23T20:15:00Z start by alice");
/// # Ok::<(), curfew_core::memory::MalformedTag>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Requested {
    /// When: the person's instant.
    pub at: Timestamp,
    /// What was asked for.
    pub action: Action,
    /// Who asked.
    pub by: Actor,
}

impl fmt::Display for Requested {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} by {}", self.at, self.action, self.by)
    }
}

impl FromStr for Requested {
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
                by: Some(Actor::new(by)).filter(|_| !by.trim().is_empty())?,
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
/// use curfew_core::memory::Hold;
///
/// let hold: Hold = "running since 2026-11-23T18:00:00Z until 2026-11-23T22:00:00Z by alice".parse()?;
/// assert_eq!(hold.by.as_str(), "alice");
/// assert_eq!(hold.to_string(), "running since 2026-11-23T18:00:00Z until 2026-11-23T22:00:00Z by alice");
/// # Ok::<(), curfew_core::memory::MalformedTag>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Override {
    /// What the instance is held at.
    pub state: OverrideState,
    /// Since when: the person's instant.
    pub since: Timestamp,
    /// The end, exclusive: at this instant the override is over.
    pub until: Timestamp,
    /// Who placed it.
    pub by: Actor,
}

impl Override {
    /// Whether the override is in force at `now`, unless a newer request has ended it.
    pub fn is_active(&self, now: Timestamp) -> bool {
        now < self.until
    }

    /// When the override ends: never before it began, whatever the tag says.
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
            by,
        } = self;
        write!(f, "{state} since {since} until {until} by {by}")
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
                by: Actor::new(by),
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
    let request = request.and_then(|value| value.trim().parse::<Requested>().ok());
    let ended = request.is_some_and(|request| request.at > override_.since);
    Ok(Some(override_).filter(|override_| !ended && override_.is_active(now)))
}

/// What an override keeps an instance at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum OverrideState {
    /// Running, whatever the schedule says.
    Running,
    /// Stopped, whatever the schedule says.
    Stopped,
    /// Hands off.
    Ignored,
}

impl OverrideState {
    /// The desired state under this override; `ignored` has no opinion.
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
        fn an_override_is_read_back(since in instant(), until in instant(), by in ".{1,80}", which in 0..3) {
            let state = [OverrideState::Running, OverrideState::Stopped, OverrideState::Ignored][usize::try_from(which).unwrap()];
            let override_ = Override { state, since, until, by: Actor::new(&by) };
            prop_assert_eq!(override_.to_string().parse::<Override>().unwrap(), override_.clone());
            prop_assert!(override_.to_string().len() <= 256 && override_.end() >= since);
        }

        #[test]
        fn a_request_is_read_back(at in instant(), start: bool, by in ".{1,80}") {
            let action = if start { Action::Start } else { Action::Stop };
            let request = Requested { at, action, by: Actor::new(&by) };
            prop_assert_eq!(request.to_string().parse::<Requested>().unwrap(), request.clone());
            prop_assert!(request.to_string().len() <= 256);
        }

        #[test]
        fn no_tag_text_panics(text in ".{0,120}") {
            let _ = (text.parse::<Override>().is_ok(), text.parse::<Requested>().is_ok());
        }
    }

    #[test]
    fn what_cant_be_read_is_named() {
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
            let error = bad.parse::<Requested>().unwrap_err().to_string();
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
