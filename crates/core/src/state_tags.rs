//! State tags: Curfew's state is in tags on the instance itself, so that decisions need no database.
//!
//! Instants are RFC 3339 in UTC, to the second. Each key has one kind of writer, so that writers do not overwrite each other:
//!
//! - passes: `curfew:last` = `<instant> <start|stop> <cause> [pending]`: the newest directive applied, also if there was nothing to
//!   do. Its instant never goes back ([`LastApplied::may_replace`])
//! - people: `curfew:request` = `<instant> <start|stop> by <actor>`: a plain start or stop
//! - people: `curfew:override` = `<running|stopped|ignored> since <instant> until <instant> by <actor>`
//! - passes: `curfew:retry` = `<instant> <start|stop> <n>x <code> first <instant> next <instant>`, while the action that is due fails
//! - passes: `curfew:type` = `<desired type> as <current type>`, while an instance has a fallback type
//!
//! A *directive* demands a start or a stop from an instant on: a schedule's edge, a request, an override, or the end of one.

mod fallback;
mod instants;
mod requests;
mod retry;

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::schedule::ScheduleName;
use crate::string_newtype;
use crate::timetable::{Action, EARLY_TRIGGER};

pub use self::fallback::Fallback;
pub use self::instants::{CLOCKS_APART, pass_instant, request_instant};
pub use self::requests::{Override, OverrideState, RecordedRequest, override_in_force};
pub use self::retry::{NextRetry, ReasonCode, Retry};

/// The tag that holds the newest directive applied to an instance. Only passes write it.
pub const LAST_TAG: &str = "curfew:last";
/// The tag that holds a plain start or stop. Only requests write it.
pub const REQUEST_TAG: &str = "curfew:request";
/// The tag that holds a timed override. Only requests write it.
pub const OVERRIDE_TAG: &str = "curfew:override";
/// The tag that holds a failed action and the instant of its next attempt. Only passes write it.
pub const RETRY_TAG: &str = "curfew:retry";
/// The tag that holds the type that an instance returns to, while it has a fallback type. Only passes write it.
pub const TYPE_TAG: &str = "curfew:type";
/// All tags that Curfew writes to instances. IAM permissions name them together, as `curfew:*`.
pub const TAGS: [&str; 5] = [LAST_TAG, REQUEST_TAG, OVERRIDE_TAG, RETRY_TAG, TYPE_TAG];

/// The cause of a change of an instance's state, or of a step.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(try_from = "String", into = "String")]
pub enum Cause {
    /// An edge of this schedule, or its desired state while it is enforced.
    Schedule(ScheduleName),
    /// An override by this actor.
    Override(Actor),
    /// A plain start or stop requested by this actor.
    Request(Actor),
    /// A change outside Curfew: the console, another tool, or AWS itself.
    External,
    /// The first pass that observed the instance: earlier edges of its schedule count as applied.
    Adopted,
}

impl Cause {
    /// The order of causes at one instant, where the higher rank is the newer directive: an override or request is newer than a
    /// schedule's edge, and an edge is newer than an adoption.
    pub fn rank(&self) -> u8 {
        match self {
            Self::External | Self::Adopted => 0,
            Self::Schedule(_) => 1,
            Self::Override(_) | Self::Request(_) => 2,
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Schedule(name) => write!(f, "schedule {name}"),
            Self::Override(who) => write!(f, "override by {who}"),
            Self::Request(who) => write!(f, "request by {who}"),
            Self::External => f.write_str("external"),
            Self::Adopted => f.write_str("adopted"),
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
                "`schedule NAME`, `override by WHO`, `request by WHO`, `external` or `adopted`",
            )
        };
        let who = |rest: &str| {
            if rest.trim().is_empty() {
                Err(malformed())
            } else {
                Ok(Actor::new(rest))
            }
        };
        if let Some(name) = text.strip_prefix("schedule ") {
            Ok(Self::Schedule(name.parse().map_err(|_| malformed())?))
        } else if let Some(rest) = text.strip_prefix("override by ") {
            Ok(Self::Override(who(rest)?))
        } else if let Some(rest) = text.strip_prefix("request by ") {
            Ok(Self::Request(who(rest)?))
        } else if text == "external" {
            Ok(Self::External)
        } else if text == "adopted" {
            Ok(Self::Adopted)
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

/// The newest directive applied to an instance: the value of `curfew:last`.
///
/// ```
/// use curfew_core::state_tags::LastApplied;
///
/// let last: LastApplied = "2026-11-23T07:00:00Z start schedule office pending".parse()?;
/// assert!(last.pending);
/// assert_eq!(last.to_string(), "2026-11-23T07:00:00Z start schedule office pending");
/// # Ok::<(), curfew_core::state_tags::MalformedTag>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LastApplied {
    /// The instant of the directive, not that of the call.
    pub at: Timestamp,
    /// The action that the directive demands.
    pub action: Action,
    /// The schedule, override or request of the directive.
    pub cause: Cause,
    /// Whether the state has not been observed yet, or not long enough after the directive. A call that was sent earlier may still
    /// undo it; then the directive is due again.
    pub pending: bool,
}

impl LastApplied {
    /// Whether a pass may overwrite the value `tag`, read right before. A malformed value may be overwritten, and so may `invalid`:
    /// the value that the pass corrects, such as one of the far future.
    pub fn may_be_written_over(&self, tag: Option<&str>, invalid: Option<&str>) -> bool {
        let tag = tag.filter(|tag| Some(*tag) != invalid);
        let current: Option<Self> = tag.and_then(|value| value.trim().parse().ok());
        current.is_none_or(|current| self.may_replace(&current))
    }

    /// Whether this may overwrite `current`: it must not be older, by instant and then by rank, and it must not be pending if
    /// `current` is the same directive done.
    ///
    /// ```
    /// use curfew_core::state_tags::LastApplied;
    ///
    /// let read = |text: &str| text.parse::<LastApplied>().unwrap();
    /// let edge = read("2026-11-23T19:00:00Z stop schedule office");
    /// let request = read("2026-11-23T19:00:00Z start request by alice pending");
    /// assert!(request.may_replace(&edge));
    /// assert!(!edge.may_replace(&request));
    /// let tried = read("2026-11-23T19:00:00Z stop schedule office pending");
    /// assert!(!tried.may_replace(&edge), "the same directive, and it is done");
    /// ```
    pub fn may_replace(&self, current: &Self) -> bool {
        let key = |last: &Self| (last.at, last.cause.rank());
        match key(self).cmp(&key(current)) {
            Ordering::Less => false,
            Ordering::Greater => true,
            Ordering::Equal => !self.pending || current.pending || self.action != current.action,
        }
    }

    /// Whether this directive can be the cause of a change `at` an instant: the change is later, or for an edge up to a minute earlier.
    pub fn may_explain(&self, at: Timestamp) -> bool {
        let early = match self.cause {
            Cause::Schedule(_) => EARLY_TRIGGER,
            _ => SignedDuration::ZERO,
        };
        self.at.duration_since(at) <= early
    }

    /// Returns the newer of the two, such as the value of the tag and the value that this process wrote.
    #[must_use]
    pub fn newer(self, other: Self) -> Self {
        if other.may_replace(&self) {
            other
        } else {
            self
        }
    }
}

impl fmt::Display for LastApplied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.at, self.action, self.cause)?;
        if self.pending {
            f.write_str(" pending")
        } else {
            Ok(())
        }
    }
}

impl FromStr for LastApplied {
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
            Some(cause) => (cause, true),
            None => (rest.parse().map_err(|_| malformed())?, false),
        };
        Ok(Self {
            at,
            action,
            cause,
            pending,
        })
    }
}

/// Rounds down to the second, the precision of tags and answers. Rounding down, a request after an edge never counts as before it.
pub fn whole_second(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).expect("a timestamp's own second is in range")
}

/// The actor of a request: a person, a program or an address, in the characters that every AWS tag may have.
///
/// ```
/// use curfew_core::state_tags::Actor;
///
/// assert_eq!(Actor::new("alice <alice@example.com>\n").as_str(), "alice -alice@example.com-");
/// assert_eq!(Actor::new("").as_str(), "unknown");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct Actor(String);

string_newtype!(Actor);

impl Actor {
    /// Longer names are truncated: a tag's value has at most 256 characters, and the rest of the value needs about 60.
    const MAX_CHARACTERS: usize = 64;

    /// Makes a name of any text: characters that a tag may not have become `-`, and white space is collapsed.
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
}

/// A malformed value of a state tag.
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
            ".{1,80}".prop_map(|who| Cause::Override(Actor::new(&who))),
            ".{1,80}".prop_map(|who| Cause::Request(Actor::new(&who))),
            Just(Cause::External),
            Just(Cause::Adopted),
        ]
    }

    fn instant() -> impl Strategy<Value = Timestamp> {
        (0_i64..4_000_000_000).prop_map(|second| Timestamp::from_second(second).unwrap())
    }

    proptest! {
        #[test]
        fn the_text_of_a_directive_parses_to_the_same_value(at in instant(), start: bool, cause in cause(), pending: bool) {
            let action = if start { Action::Start } else { Action::Stop };
            let last = LastApplied { at, action, cause, pending };
            // A name that ends in "pending" is the one ambiguity: it is parsed as pending, and the next pass records it again.
            prop_assume!(last.pending || !last.cause.to_string().ends_with(" pending"));
            prop_assert_eq!(last.to_string().parse::<LastApplied>().unwrap(), last.clone());
            prop_assert!(last.to_string().len() <= 256);
        }

        /// The directive in the tag never becomes older, in any order of the writes.
        #[test]
        fn the_newest_directive_never_goes_back(seconds in proptest::collection::vec((0_i64..4, cause(), any::<bool>(), any::<bool>()), 2..8)) {
            let values = seconds.into_iter().map(|(second, cause, start, pending)| LastApplied {
                at: Timestamp::from_second(second).unwrap(),
                action: if start { Action::Start } else { Action::Stop },
                cause,
                pending,
            });
            let mut newest: Option<LastApplied> = None;
            for value in values {
                let before = newest.clone();
                let after = before.clone().map_or(value.clone(), |before| before.newer(value.clone()));
                if let Some(before) = before {
                    let key = |last: &LastApplied| (last.at, last.cause.rank());
                    prop_assert!(key(&after) >= key(&before));
                    let is_the_same = key(&after) == key(&before) && after.action == before.action;
                    prop_assert!(!is_the_same || before.pending || !after.pending);
                    prop_assert!(after == before || after == value);
                }
                newest = Some(after);
            }
        }

        #[test]
        fn no_tag_text_panics(text in ".{0,120}") {
            let _ = (text.parse::<LastApplied>().is_ok(), text.parse::<Cause>().is_ok());
        }
    }

    fn read(text: &str) -> LastApplied {
        text.parse().unwrap()
    }

    /// At one instant, an adoption is older than an edge, and an edge is older than an override or a request.
    #[test]
    fn at_one_instant_rank_decides() {
        let ranked: [&[&str]; 3] = [
            &["stop adopted", "start external"],
            &["start schedule office"],
            &["stop override by bob", "start request by alice"],
        ];
        let last = |text: &&str| read(&format!("2026-11-23T19:00:00Z {text}"));
        for (rank, texts) in ranked.iter().enumerate() {
            for (other_rank, others) in ranked.iter().enumerate() {
                for (value, other) in texts
                    .iter()
                    .flat_map(|text| others.iter().map(move |other| (text, other)))
                {
                    assert_eq!(
                        last(value).may_replace(&last(other)),
                        rank >= other_rank,
                        "{value} over {other}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_done_directive_is_not_overwritten_by_the_same_one_pending() {
        let done = read("2026-11-23T19:00:00Z stop schedule office");
        let pending = read("2026-11-23T19:00:00Z stop schedule office pending");
        let other = read("2026-11-23T19:00:00Z start schedule strict pending");
        let table = [
            (&done, &done, true),
            (&done, &pending, true),
            (&pending, &pending, true),
            (&pending, &done, false),
            // Another action is another directive, and its state is not observed yet.
            (&other, &done, true),
        ];
        for (value, current, allowed) in table {
            assert_eq!(
                value.may_replace(current),
                allowed,
                "{value} over {current}"
            );
        }
    }

    #[test]
    fn only_an_older_or_an_invalid_value_is_overwritten() {
        let edge = read("2026-11-23T19:00:00Z stop schedule office");
        let newer = "2026-11-23T19:00:01Z start request by alice";
        assert!(edge.may_be_written_over(None, None));
        assert!(edge.may_be_written_over(Some("2026-11-23T18:00:00Z start schedule office"), None));
        assert!(edge.may_be_written_over(Some("soon"), None));
        assert!(!edge.may_be_written_over(Some(newer), None));
        assert!(edge.may_be_written_over(Some(newer), Some(newer)));
        assert!(!edge.may_be_written_over(
            Some(newer),
            Some("2027-11-23T19:00:01Z start request by alice")
        ));
    }

    #[test]
    fn all_tags_have_the_prefix_that_permissions_name() {
        assert!(TAGS.iter().all(|tag| tag.starts_with("curfew:")));
    }

    #[test]
    fn the_error_names_the_malformed_tag_and_shows_an_example() {
        let error = "yesterday stop"
            .parse::<LastApplied>()
            .unwrap_err()
            .to_string();
        assert_eq!(
            error,
            "the tag `curfew:last` is `yesterday stop`, which Curfew can't read; \
             it should look like `2026-11-23T19:00:00Z stop schedule NAME`"
        );
        assert!(
            "2026-11-23T07:00:00Z start request by "
                .parse::<LastApplied>()
                .is_err()
        );
    }
}
