//! What Curfew remembers, and where: in tags on the instance itself, so that deciding needs no database.
//!
//! - `curfew:last` = `<edge instant, RFC 3339 UTC> <start|stop> <cause> [pending]`
//! - `curfew:hold` = `<running|stopped|ignored> until <RFC 3339> by <who>`
//! - `curfew:retry` = `<edge instant> <start|stop> <n>x <code> next <RFC 3339>`, while EC2 refuses what an edge asks for
//! - `curfew:type` = `<wanted type> as <present type>`, while an instance stands in for itself with a fallback type

mod fallback;
mod retry;

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::schedule::ScheduleName;
use crate::timetable::{Action, Desired};

pub use self::fallback::Fallback;
pub use self::retry::{NextTry, ReasonCode, Retry};

/// The tag that holds the newest edge applied to an instance.
pub const LAST_TAG: &str = "curfew:last";
/// The tag that holds a timed override.
pub const HOLD_TAG: &str = "curfew:hold";
/// The tag that says when what EC2 refused is tried again.
pub const RETRY_TAG: &str = "curfew:retry";
/// The tag that holds the type an instance is meant to have, while it has another.
pub const TYPE_TAG: &str = "curfew:type";
/// All tags that Curfew may write to an instance, and the only ones. Permissions name them together, as `curfew:*`.
pub const TAGS: [&str; 4] = [LAST_TAG, HOLD_TAG, RETRY_TAG, TYPE_TAG];

/// Why an instance changed, or is about to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(try_from = "String", into = "String")]
pub enum Cause {
    /// An edge of this schedule, or its wish while it is enforced.
    Schedule(ScheduleName),
    /// A hold that this person (or program) placed.
    Hold(Who),
    /// A start or stop that this person (or program) asked for.
    Request(Who),
    /// Not Curfew: the console, another tool, AWS itself.
    Outside,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Schedule(name) => write!(f, "schedule {name}"),
            Self::Hold(who) => write!(f, "hold by {who}"),
            Self::Request(who) => write!(f, "request by {who}"),
            Self::Outside => f.write_str("outside"),
        }
    }
}

impl FromStr for Cause {
    type Err = MalformedTag;

    fn from_str(text: &str) -> Result<Self, MalformedTag> {
        let malformed = || {
            MalformedTag::new(
                "a cause",
                text,
                "`schedule NAME`, `hold by WHO`, `request by WHO` or `outside`",
            )
        };
        let who = |rest: &str| {
            if rest.trim().is_empty() {
                Err(malformed())
            } else {
                Ok(Who::new(rest))
            }
        };
        if let Some(name) = text.strip_prefix("schedule ") {
            Ok(Self::Schedule(name.parse().map_err(|_| malformed())?))
        } else if let Some(rest) = text.strip_prefix("hold by ") {
            Ok(Self::Hold(who(rest)?))
        } else if let Some(rest) = text.strip_prefix("request by ") {
            Ok(Self::Request(who(rest)?))
        } else if text == "outside" {
            Ok(Self::Outside)
        } else {
            Err(malformed())
        }
    }
}

impl TryFrom<String> for Cause {
    type Error = MalformedTag;

    fn try_from(text: String) -> Result<Self, MalformedTag> {
        text.parse()
    }
}

impl From<Cause> for String {
    fn from(cause: Cause) -> Self {
        cause.to_string()
    }
}

/// The newest edge applied to an instance: the value of `curfew:last`.
///
/// ```
/// use curfew_core::memory::Last;
///
/// let last: Last = "2026-11-23T07:00:00Z start schedule office pending".parse()?;
/// assert!(last.pending);
/// assert_eq!(last.to_string(), "2026-11-23T07:00:00Z start schedule office pending");
/// # Ok::<(), curfew_core::memory::MalformedTag>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Last {
    /// The edge's instant, not the call's.
    pub at: Timestamp,
    /// What the edge asked for.
    pub action: Action,
    /// On whose behalf.
    pub cause: Cause,
    /// A start that EC2 accepted and that has not been seen running yet. Never set on a stop.
    pub pending: bool,
}

impl fmt::Display for Last {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.at, self.action, self.cause)?;
        if self.pending {
            f.write_str(" pending")
        } else {
            Ok(())
        }
    }
}

impl FromStr for Last {
    type Err = MalformedTag;

    fn from_str(text: &str) -> Result<Self, MalformedTag> {
        let malformed =
            || MalformedTag::new(LAST_TAG, text, "`2026-11-23T19:00:00Z stop schedule NAME`");
        let mut words = text.splitn(3, ' ');
        let at = words
            .next()
            .and_then(|word| word.parse().ok())
            .ok_or_else(malformed)?;
        let action = match words.next() {
            Some("start") => Action::Start,
            Some("stop") => Action::Stop,
            _ => return Err(malformed()),
        };
        let rest = words.next().ok_or_else(malformed)?;
        let unfinished = rest
            .strip_suffix(" pending")
            .and_then(|cause| cause.parse::<Cause>().ok());
        let (cause, pending) = match unfinished {
            Some(cause) if action == Action::Start => (cause, true),
            _ => (rest.parse().map_err(|_| malformed())?, false),
        };
        Ok(Self {
            at,
            action,
            cause,
            pending,
        })
    }
}

/// A timed override of one instance: the value of `curfew:hold`.
///
/// ```
/// use curfew_core::memory::Hold;
///
/// let hold: Hold = "running until 2026-11-23T22:00:00Z by alice".parse()?;
/// assert_eq!(hold.by.as_str(), "alice");
/// assert_eq!(hold.to_string(), "running until 2026-11-23T22:00:00Z by alice");
/// # Ok::<(), curfew_core::memory::MalformedTag>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Hold {
    /// What the instance is held at.
    pub state: Held,
    /// The end, exclusive: at this instant the hold is over.
    pub until: Timestamp,
    /// Who placed it.
    pub by: Who,
}

impl Hold {
    /// Whether the hold is in force at `now`.
    pub fn is_active(&self, now: Timestamp) -> bool {
        now < self.until
    }
}

impl fmt::Display for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} until {} by {}", self.state, self.until, self.by)
    }
}

impl FromStr for Hold {
    type Err = MalformedTag;

    fn from_str(text: &str) -> Result<Self, MalformedTag> {
        let malformed = || {
            MalformedTag::new(
                HOLD_TAG,
                text,
                "`running until 2026-11-23T22:00:00Z by WHO`",
            )
        };
        let (state, rest) = text.split_once(" until ").ok_or_else(malformed)?;
        let (until, by) = rest.split_once(" by ").ok_or_else(malformed)?;
        let state = match state {
            "running" => Held::Running,
            "stopped" => Held::Stopped,
            "ignored" => Held::Ignored,
            _ => return Err(malformed()),
        };
        let until = until.parse().map_err(|_| malformed())?;
        if by.trim().is_empty() {
            Err(malformed())
        } else {
            Ok(Self {
                state,
                until,
                by: Who::new(by),
            })
        }
    }
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

/// Tags and answers carry whole seconds. Rounding down keeps a request that came after an edge from counting as before it.
pub fn whole_second(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).expect("a timestamp's own second is in range")
}

/// Who asked: a person, a program or an address, in the characters that every AWS tag may have.
///
/// ```
/// use curfew_core::memory::Who;
///
/// assert_eq!(Who::new("alice <alice@example.com>\n").as_str(), "alice -alice@example.com-");
/// assert_eq!(Who::new("").as_str(), "unknown");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct Who(String);

impl Who {
    /// Longer names are cut: a tag's value has 256 characters, and the rest of it needs about 60.
    const MAX_CHARACTERS: usize = 64;

    /// Makes a name out of any text: characters that a tag may not have become `-`, white space is folded.
    pub fn new(text: &str) -> Self {
        let words: Vec<&str> = text.split_whitespace().collect();
        let clean: String = words
            .join(" ")
            .chars()
            .map(|c| {
                if c.is_ascii_alphanumeric() || " +-=._:/@".contains(c) {
                    c
                } else {
                    '-'
                }
            })
            .take(Self::MAX_CHARACTERS)
            .collect();
        Self(if clean.trim().is_empty() {
            "unknown".to_owned()
        } else {
            clean.trim().to_owned()
        })
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A tag of ours that can't be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} is `{}`, which Curfew can't read; it should look like {example}", .found.escape_debug())]
pub struct MalformedTag {
    what: String,
    found: String,
    example: &'static str,
}

impl MalformedTag {
    fn new(what: &str, found: &str, example: &'static str) -> Self {
        let what = if what.contains(' ') {
            what.to_owned()
        } else {
            format!("the tag `{what}`")
        };
        Self {
            what,
            found: found.chars().take(80).collect(),
            example,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cause() -> impl Strategy<Value = Cause> {
        prop_oneof![
            "[a-z][a-z0-9_-]{0,20}"
                .prop_filter_map("reserved", |name| name.parse().ok().map(Cause::Schedule)),
            ".{1,80}".prop_map(|who| Cause::Hold(Who::new(&who))),
            ".{1,80}".prop_map(|who| Cause::Request(Who::new(&who))),
            Just(Cause::Outside),
        ]
    }

    fn instant() -> impl Strategy<Value = Timestamp> {
        (0_i64..4_000_000_000).prop_map(|second| Timestamp::from_second(second).unwrap())
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(at in instant(), start: bool, cause in cause(), pending: bool) {
            let action = if start { Action::Start } else { Action::Stop };
            let last = Last { at, action, cause, pending: pending && start };
            // A name that itself ends in the word is the one ambiguity; it is read as pending, which only looks again.
            prop_assume!(last.pending || !last.cause.to_string().ends_with(" pending"));
            prop_assert_eq!(last.to_string().parse::<Last>().unwrap(), last.clone());
            prop_assert!(last.to_string().len() <= 256);
        }

        #[test]
        fn a_hold_is_read_back(until in instant(), by in ".{1,80}", which in 0..3) {
            let state = [Held::Running, Held::Stopped, Held::Ignored][usize::try_from(which).unwrap()];
            let hold = Hold { state, until, by: Who::new(&by) };
            prop_assert_eq!(hold.to_string().parse::<Hold>().unwrap(), hold);
        }

        #[test]
        fn no_tag_text_panics(text in ".{0,120}") {
            let _ = (text.parse::<Last>().is_ok(), text.parse::<Hold>().is_ok(), text.parse::<Cause>().is_ok());
        }
    }

    #[test]
    fn all_tags_are_within_what_permissions_name() {
        assert!(TAGS.iter().all(|tag| tag.starts_with("curfew:")));
    }

    #[test]
    fn a_malformed_tag_is_named_and_shown_how_it_should_look() {
        let error = "yesterday stop".parse::<Last>().unwrap_err().to_string();
        assert_eq!(
            error,
            "the tag `curfew:last` is `yesterday stop`, which Curfew can't read; \
             it should look like `2026-11-23T19:00:00Z stop schedule NAME`"
        );
        assert!("running until later by alice".parse::<Hold>().is_err());
        assert!(
            "running until 2026-11-23T22:00:00Z by "
                .parse::<Hold>()
                .is_err()
        );
        assert!(
            "2026-11-23T07:00:00Z start request by "
                .parse::<Last>()
                .is_err()
        );
    }

    #[test]
    fn a_hold_ends_at_its_instant() {
        let hold: Hold = "stopped until 2026-11-23T22:00:00Z by bob".parse().unwrap();
        assert!(hold.is_active("2026-11-23T21:59:59Z".parse().unwrap()));
        assert!(!hold.is_active("2026-11-23T22:00:00Z".parse().unwrap()));
    }
}
