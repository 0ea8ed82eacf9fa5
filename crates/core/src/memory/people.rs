//! What people want: the values of `curfew:request` and `curfew:override`. Passes read them, and never write or delete them.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{HOLD_TAG, MalformedTag, REQUEST_TAG, Who};
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
    pub by: Who,
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
                by: Some(Who::new(by)).filter(|_| !by.trim().is_empty())?,
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
pub struct Hold {
    /// What the instance is held at.
    pub state: Held,
    /// Since when: the person's instant.
    pub since: Timestamp,
    /// The end, exclusive: at this instant the hold is over.
    pub until: Timestamp,
    /// Who placed it.
    pub by: Who,
}

impl Hold {
    /// Whether the hold is in force at `now`, unless a newer request has ended it.
    pub fn is_active(&self, now: Timestamp) -> bool {
        now < self.until
    }

    /// When the hold ends: never before it began, whatever the tag says.
    pub fn end(&self) -> Timestamp {
        self.until.max(self.since)
    }
}

impl fmt::Display for Hold {
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

impl FromStr for Hold {
    type Err = MalformedTag;

    fn from_str(text: &str) -> Result<Self, MalformedTag> {
        let malformed = || {
            MalformedTag::new(
                HOLD_TAG,
                text,
                "`running since 2026-11-23T18:00:00Z until 2026-11-23T22:00:00Z by WHO`",
            )
        };
        let (state, rest) = text.split_once(" since ").ok_or_else(malformed)?;
        let (since, rest) = rest.split_once(" until ").ok_or_else(malformed)?;
        let (until, by) = rest.split_once(" by ").ok_or_else(malformed)?;
        let state = match state {
            "running" => Held::Running,
            "stopped" => Held::Stopped,
            "ignored" => Held::Ignored,
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
                by: Who::new(by),
            })
        }
    }
}

/// The hold in force at `now`, by a resource's tags: neither over nor ended by a newer request.
pub fn hold_in_force(
    tags: &BTreeMap<String, String>,
    now: Timestamp,
) -> Result<Option<Hold>, MalformedTag> {
    let Some(value) = tags.get(HOLD_TAG) else {
        return Ok(None);
    };
    let hold: Hold = value.trim().parse()?;
    let request = tags.get(REQUEST_TAG);
    let request = request.and_then(|value| value.trim().parse::<Requested>().ok());
    let ended = request.is_some_and(|request| request.at > hold.since);
    Ok(Some(hold).filter(|hold| !ended && hold.is_active(now)))
}

/// What a hold keeps an instance at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Held {
    /// Running, whatever the schedule says.
    Running,
    /// Stopped, whatever the schedule says.
    Stopped,
    /// Hands off.
    Ignored,
}

impl Held {
    /// The desired state under this hold; `ignored` has no opinion.
    pub fn desired(self) -> Desired {
        match self {
            Self::Running => Desired::Running,
            Self::Stopped => Desired::Stopped,
            Self::Ignored => Desired::Unmanaged,
        }
    }
}

impl fmt::Display for Held {
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
        fn a_hold_is_read_back(since in instant(), until in instant(), by in ".{1,80}", which in 0..3) {
            let state = [Held::Running, Held::Stopped, Held::Ignored][usize::try_from(which).unwrap()];
            let hold = Hold { state, since, until, by: Who::new(&by) };
            prop_assert_eq!(hold.to_string().parse::<Hold>().unwrap(), hold.clone());
            prop_assert!(hold.to_string().len() <= 256 && hold.end() >= since);
        }

        #[test]
        fn a_request_is_read_back(at in instant(), start: bool, by in ".{1,80}") {
            let action = if start { Action::Start } else { Action::Stop };
            let request = Requested { at, action, by: Who::new(&by) };
            prop_assert_eq!(request.to_string().parse::<Requested>().unwrap(), request.clone());
            prop_assert!(request.to_string().len() <= 256);
        }

        #[test]
        fn no_tag_text_panics(text in ".{0,120}") {
            let _ = (text.parse::<Hold>().is_ok(), text.parse::<Requested>().is_ok());
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
            let error = bad.parse::<Hold>().unwrap_err().to_string();
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
    fn a_hold_is_in_force_until_its_end_or_a_newer_request() {
        let now = "2026-11-23T20:00:00Z".parse().unwrap();
        let in_force = |hold: &str, request: &str| {
            let tags = [(HOLD_TAG, hold), (REQUEST_TAG, request)]
                .into_iter()
                .filter(|(_, value)| !value.is_empty())
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect();
            hold_in_force(&tags, now).map(|hold| hold.map(|hold| hold.to_string()))
        };
        let hold = "running since 2026-11-23T18:00:00Z until 2026-11-23T20:00:01Z by alice";
        for (request, expected) in [
            ("", Some(hold)),
            ("2026-11-23T17:59:59Z stop by bob", Some(hold)),
            ("2026-11-23T18:00:00Z stop by bob", Some(hold)),
            ("2026-11-23T18:00:01Z stop by bob", None),
            ("unreadable", Some(hold)),
        ] {
            assert_eq!(
                in_force(hold, request).unwrap().as_deref(),
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
    fn a_hold_ends_at_its_instant() {
        let text = "stopped since 2026-11-23T18:00:00Z until 2026-11-23T22:00:00Z by bob";
        let hold: Hold = text.parse().unwrap();
        assert!(hold.is_active("2026-11-23T21:59:59Z".parse().unwrap()));
        assert!(!hold.is_active("2026-11-23T22:00:00Z".parse().unwrap()));
    }
}
