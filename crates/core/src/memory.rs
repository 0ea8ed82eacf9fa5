//! What Curfew remembers, and where: in tags on the instance itself, so that deciding needs no database.
//!
//! Instants are RFC 3339 in UTC, to the second. Each key has one kind of writer, so that no writer overwrites another's word:
//!
//! - passes: `curfew:last` = `<instant> <start|stop> <cause> [pending]`: the newest word applied, also when there was nothing to
//!   do. Its instant never goes back ([`Last::may_replace`])
//! - people: `curfew:request` = `<instant> <start|stop> by <actor>`: a plain start or stop
//! - people: `curfew:override` = `<running|stopped|ignored> since <instant> until <instant> by <actor>`
//! - passes: `curfew:retry` = `<instant> <start|stop> <n>x <code> first <instant> next <instant>`, while what is due comes to nothing
//! - passes: `curfew:type` = `<wanted type> as <present type>`, while an instance stands in for itself with a fallback type
//!
//! A *word* is what wants a start or a stop from an instant on: a schedule's edge, a request, an override, or an override's end.

mod fallback;
mod instants;
mod people;
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
pub use self::instants::{CLOCKS_APART, instant_of_pass, instant_of_person};
pub use self::people::{Override, OverrideState, Requested, override_in_force};
pub use self::retry::{NextTry, ReasonCode, Retry};

/// The tag that holds the newest word applied to an instance. Only passes write it.
pub const LAST_TAG: &str = "curfew:last";
/// The tag that holds a person's plain start or stop. Only people's requests write it.
pub const REQUEST_TAG: &str = "curfew:request";
/// The tag that holds a timed override. Only people's requests write it.
pub const OVERRIDE_TAG: &str = "curfew:override";
/// The tag that says when what EC2 refused is tried again.
pub const RETRY_TAG: &str = "curfew:retry";
/// The tag that holds the type an instance is meant to have, while it has another.
pub const TYPE_TAG: &str = "curfew:type";
/// All tags that Curfew may write to an instance, and the only ones. Permissions name them together, as `curfew:*`.
pub const TAGS: [&str; 5] = [LAST_TAG, REQUEST_TAG, OVERRIDE_TAG, RETRY_TAG, TYPE_TAG];

/// Why an instance changed, or is about to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(try_from = "String", into = "String")]
pub enum Cause {
    /// An edge of this schedule, or its wish while it is enforced.
    Schedule(ScheduleName),
    /// An override that this person (or program) placed.
    Override(Actor),
    /// A start or stop that this person (or program) asked for.
    Request(Actor),
    /// Not Curfew: the console, another tool, AWS itself.
    External,
    /// The first pass that saw the instance: what its schedule said before counts as dealt with.
    Adopted,
}

impl Cause {
    /// Of two words at one instant, the one of the higher rank is newer: a person's is newer than a schedule's, and that
    /// newer than what was found at first sight.
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

/// The newest word applied to an instance: the value of `curfew:last`.
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
    /// The word's instant, not the call's.
    pub at: Timestamp,
    /// What the word asked for.
    pub action: Action,
    /// On whose behalf.
    pub cause: Cause,
    /// The state that it asked for has not been seen yet, or not long enough after the word: a call that was sent before may
    /// still undo it, and then it is due again.
    pub pending: bool,
}

impl Last {
    /// Whether a pass may write this over the tag as it read it right before. What can't be read is no memory, and neither is what
    /// the pass means to mend: a tag of the far future, for example.
    pub fn may_be_written_over(&self, tag: Option<&str>, mends: Option<&str>) -> bool {
        let tag = tag.filter(|tag| Some(*tag) != mends);
        let current: Option<Self> = tag.and_then(|value| value.trim().parse().ok());
        current.is_none_or(|current| self.may_replace(&current))
    }

    /// Whether this may be written over `current`: never anything older, by instant and then by
    /// rank, and never *pending* over the same word done.
    ///
    /// ```
    /// use curfew_core::memory::Last;
    ///
    /// let read = |text: &str| text.parse::<Last>().unwrap();
    /// let edge = read("2026-11-23T19:00:00Z stop schedule office");
    /// let request = read("2026-11-23T19:00:00Z start request by alice pending");
    /// assert!(request.may_replace(&edge));
    /// assert!(!edge.may_replace(&request));
    /// let tried = read("2026-11-23T19:00:00Z stop schedule office pending");
    /// assert!(!tried.may_replace(&edge), "the same word, and it is done");
    /// ```
    pub fn may_replace(&self, current: &Self) -> bool {
        let key = |last: &Self| (last.at, last.cause.rank());
        match key(self).cmp(&key(current)) {
            Ordering::Less => false,
            Ordering::Greater => true,
            Ordering::Equal => !self.pending || current.pending || self.action != current.action,
        }
    }

    /// Whether a change that happened `at` an instant can have come of this: it came after it, or, for an edge, up to a minute
    /// early.
    pub fn may_explain(&self, at: Timestamp) -> bool {
        let early = match self.cause {
            Cause::Schedule(_) => EARLY_TRIGGER,
            _ => SignedDuration::ZERO,
        };
        self.at.duration_since(at) <= early
    }

    /// The newer of the two: of what a tag says and what this process wrote itself, for example.
    #[must_use]
    pub fn newer(self, other: Self) -> Self {
        if other.may_replace(&self) {
            other
        } else {
            self
        }
    }
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
pub struct Actor(String);

string_newtype!(Actor);

impl Actor {
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
        fn what_is_written_is_read_back(at in instant(), start: bool, cause in cause(), pending: bool) {
            let action = if start { Action::Start } else { Action::Stop };
            let last = Last { at, action, cause, pending };
            // A name that itself ends in the word is the one ambiguity; it is read as pending, which only looks again.
            prop_assume!(last.pending || !last.cause.to_string().ends_with(" pending"));
            prop_assert_eq!(last.to_string().parse::<Last>().unwrap(), last.clone());
            prop_assert!(last.to_string().len() <= 256);
        }

        /// However writers take turns, the memory only ever goes on.
        #[test]
        fn the_memory_never_goes_back(seconds in proptest::collection::vec((0_i64..4, cause(), any::<bool>(), any::<bool>()), 2..8)) {
            let words = seconds.into_iter().map(|(second, cause, start, pending)| Last {
                at: Timestamp::from_second(second).unwrap(),
                action: if start { Action::Start } else { Action::Stop },
                cause,
                pending,
            });
            let mut stands: Option<Last> = None;
            for word in words {
                let before = stands.clone();
                let after = before.clone().map_or(word.clone(), |before| before.newer(word.clone()));
                if let Some(before) = before {
                    let key = |last: &Last| (last.at, last.cause.rank());
                    prop_assert!(key(&after) >= key(&before));
                    let is_the_same = key(&after) == key(&before) && after.action == before.action;
                    prop_assert!(!is_the_same || before.pending || !after.pending);
                    prop_assert!(after == before || after == word);
                }
                stands = Some(after);
            }
        }

        #[test]
        fn no_tag_text_panics(text in ".{0,120}") {
            let _ = (text.parse::<Last>().is_ok(), text.parse::<Cause>().is_ok());
        }
    }

    fn read(text: &str) -> Last {
        text.parse().unwrap()
    }

    /// At one instant: what was adopted, then an edge, then a person's word, whichever kind that is.
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
                for (word, other) in texts
                    .iter()
                    .flat_map(|text| others.iter().map(move |other| (text, other)))
                {
                    assert_eq!(
                        last(word).may_replace(&last(other)),
                        rank >= other_rank,
                        "{word} over {other}"
                    );
                }
            }
        }
    }

    #[test]
    fn the_same_word_done_is_not_written_over_with_pending() {
        let done = read("2026-11-23T19:00:00Z stop schedule office");
        let pending = read("2026-11-23T19:00:00Z stop schedule office pending");
        let other = read("2026-11-23T19:00:00Z start schedule strict pending");
        let table = [
            (&done, &done, true),
            (&done, &pending, true),
            (&pending, &pending, true),
            (&pending, &done, false),
            // Another action is another word, and has still to be seen.
            (&other, &done, true),
        ];
        for (word, current, allowed) in table {
            assert_eq!(word.may_replace(current), allowed, "{word} over {current}");
        }
    }

    #[test]
    fn only_older_memory_is_written_over_or_what_is_mended() {
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
        assert!(
            "2026-11-23T07:00:00Z start request by "
                .parse::<Last>()
                .is_err()
        );
    }
}
