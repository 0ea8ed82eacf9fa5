//! What EC2 refused, and when it is tried again: the value of `curfew:retry`.

use std::fmt;
use std::str::FromStr;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::{MalformedTag, RETRY_TAG, whole_second};
use crate::string_newtype;
use crate::timetable::Action;

/// An action that came to nothing, and waits for its next try.
///
/// EC2 refused the call, for want of capacity for example, or it accepted a start that did not lead to running.
///
/// ```
/// use curfew_core::memory::Retry;
///
/// let text = "2026-11-23T07:00:00Z start 3x InsufficientInstanceCapacity first 2026-11-23T07:00:00Z next 2026-11-23T07:08:00Z";
/// let retry: Retry = text.parse()?;
/// assert_eq!((retry.tries, retry.code.as_str()), (3, "InsufficientInstanceCapacity"));
/// assert_eq!(retry.to_string(), text);
/// # Ok::<(), curfew_core::memory::MalformedTag>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Retry {
    /// The instant of the word that asks for it.
    pub edge: Timestamp,
    /// What it asks for.
    pub action: Action,
    /// How often it was tried: at least once.
    pub tries: u32,
    /// Why the latest try came to nothing.
    pub code: ReasonCode,
    /// When the first of these tries was: from then on the catch-up limit counts.
    pub first: Timestamp,
    /// Not before this instant is it tried again.
    pub next: Timestamp,
}

impl Retry {
    /// How long the first tries wait for the one after them, in minutes; all later tries wait like the last of these.
    ///
    /// Capacity often comes back within minutes, so the first are close together; a pool that stays empty, or a broken volume,
    /// costs two calls an hour. Longer waits leave a team without its machines after capacity is back, shorter ones spend the
    /// account's calls on what won't work. There is no jitter: instances that lack the same capacity are asked for in one
    /// call, and remembered in one, because they wait alike.
    const WAITS: [i64; 6] = [1, 2, 5, 10, 20, 30];

    /// The longest wait between two tries.
    pub const LONGEST_WAIT: SignedDuration = SignedDuration::from_mins(Self::WAITS[5]);

    fn wait_after(tries: u32) -> SignedDuration {
        let index = usize::try_from(tries.saturating_sub(1)).unwrap_or(usize::MAX);
        let minutes = Self::WAITS.get(index).copied();
        minutes.map_or(Self::LONGEST_WAIT, SignedDuration::from_mins)
    }
}

impl fmt::Display for Retry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            edge,
            action,
            tries,
            code,
            first,
            next,
        } = self;
        write!(
            f,
            "{edge} {action} {tries}x {code} first {first} next {next}"
        )
    }
}

impl FromStr for Retry {
    type Err = MalformedTag;

    fn from_str(text: &str) -> Result<Self, MalformedTag> {
        let read = || {
            let [edge, action, tries, code, "first", first, "next", next] =
                *text.split(' ').collect::<Vec<_>>().as_slice()
            else {
                return None;
            };
            Some(Self {
                edge: edge.parse().ok()?,
                action: match action {
                    "start" => Action::Start,
                    "stop" => Action::Stop,
                    _ => return None,
                },
                tries: tries
                    .strip_suffix('x')?
                    .parse()
                    .ok()
                    .filter(|tries| *tries > 0)?,
                code: Some(ReasonCode::new(code)).filter(|known| known.as_str() == code)?,
                first: first.parse().ok()?,
                next: next.parse().ok()?,
            })
        };
        let example = "`2026-11-23T07:00:00Z start 1x InsufficientInstanceCapacity first 2026-11-23T07:00:00Z next 2026-11-23T07:01:00Z`";
        read().ok_or_else(|| MalformedTag::new(RETRY_TAG, text, example))
    }
}

/// What a try will have been if it comes to nothing: everything but EC2's reason, which only EC2 knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NextTry {
    /// The instant of the word that asks for it.
    pub edge: Timestamp,
    /// What it asks for.
    pub action: Action,
    /// How often it will have been tried.
    pub tries: u32,
    /// When the first of these tries was.
    pub first: Timestamp,
    /// When it is tried again.
    pub next: Timestamp,
}

impl NextTry {
    /// A try at `now` of what the word at `edge` asks for, after `earlier` ones of the same.
    pub fn at(now: Timestamp, edge: Timestamp, action: Action, earlier: Option<&Retry>) -> Self {
        let tries = earlier.map_or(0, |retry| retry.tries).saturating_add(1);
        let next = now.saturating_add(Retry::wait_after(tries));
        Self {
            edge,
            action,
            tries,
            first: earlier.map_or(whole_second(now), |retry| retry.first),
            next: whole_second(next.unwrap_or(Timestamp::MAX)),
        }
    }

    /// The memory of it, once EC2 has said why.
    pub fn because(self, code: ReasonCode) -> Retry {
        let Self {
            edge,
            action,
            tries,
            first,
            next,
        } = self;
        Retry {
            edge,
            action,
            tries,
            code,
            first,
            next,
        }
    }
}

/// EC2's code for why something came to nothing: of an error, or of an instance's state.
///
/// ```
/// use curfew_core::memory::ReasonCode;
///
/// assert_eq!(ReasonCode::new("Server.InternalError").as_str(), "Server.InternalError");
/// assert_eq!(ReasonCode::new("no such\ncode").as_str(), "no-such-code");
/// assert_eq!(ReasonCode::new(" "), ReasonCode::unexplained());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct ReasonCode(String);

string_newtype!(ReasonCode);

impl ReasonCode {
    /// Longer ones are cut: a tag's value has 256 characters, and the rest of it needs about 80. EC2's own have at most 60 or so.
    const MAX_CHARACTERS: usize = 100;

    /// Makes a code out of any text, in the characters that EC2's codes have: others become `-`.
    pub fn new(text: &str) -> Self {
        let text = text.trim();
        if text.is_empty() {
            return Self::unexplained();
        }
        let of_a_code = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '_';
        Self(
            text.chars()
                .map(|c| if of_a_code(c) { c } else { '-' })
                .take(Self::MAX_CHARACTERS)
                .collect(),
        )
    }

    /// EC2 gave no reason.
    pub fn unexplained() -> Self {
        Self("Unexplained".to_owned())
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
        fn what_is_written_is_read_back(edge in instant(), start: bool, earlier: u32, code in ".{0,120}", now in instant()) {
            let action = if start { Action::Start } else { Action::Stop };
            let before = NextTry::at(now, edge, action, None).because(ReasonCode::unexplained());
            let before = Retry { tries: earlier, ..before };
            let retry = NextTry::at(now, edge, action, Some(&before)).because(ReasonCode::new(&code));
            prop_assert_eq!(retry.to_string().parse::<Retry>().unwrap(), retry.clone());
            prop_assert!(retry.to_string().len() <= 256);
        }

        #[test]
        fn no_tag_text_panics(text in ".{0,120}|2026-11-23T07:00:00Z start [0-9]{1,12}x .{0,20} first 2026-11-23T07:00:00Z next .{0,30}") {
            if let Ok(retry) = text.parse::<Retry>() {
                prop_assert_eq!(retry.to_string().parse::<Retry>().unwrap(), retry);
            }
        }
    }

    #[test]
    fn tries_come_further_and_further_apart_up_to_a_limit() {
        let now = "2026-11-23T07:00:00.9Z".parse().unwrap();
        let waits: Vec<String> = [0, 1, 2, 3, 4, 5, 6, 1000, u32::MAX]
            .map(|tries| {
                let first =
                    NextTry::at(now, now, Action::Start, None).because(ReasonCode::unexplained());
                let earlier = Retry { tries, ..first };
                NextTry::at(now, now, Action::Start, Some(&earlier)).next
            })
            .map(|next| next.to_string()[11..16].to_owned())
            .into();
        assert_eq!(
            waits,
            [
                "07:01", "07:02", "07:05", "07:10", "07:20", "07:30", "07:30", "07:30", "07:30"
            ]
        );
        let last = NextTry::at(Timestamp::MAX, now, Action::Start, None);
        assert_eq!(last.next, whole_second(Timestamp::MAX));
    }

    #[test]
    fn what_cant_be_read_is_named() {
        for bad in [
            "",
            "2026-11-23T07:00:00Z start 0x Code first 2026-11-23T07:00:00Z next 2026-11-23T07:01:00Z",
            "2026-11-23T07:00:00Z start 1 Code first 2026-11-23T07:00:00Z next 2026-11-23T07:01:00Z",
            "2026-11-23T07:00:00Z begin 1x Code first 2026-11-23T07:00:00Z next 2026-11-23T07:01:00Z",
            "2026-11-23T07:00:00Z start 1x no/code first 2026-11-23T07:00:00Z next 2026-11-23T07:01:00Z",
            "2026-11-23T07:00:00Z start 1x Code first 2026-11-23T07:00:00Z next soon",
            "2026-11-23T07:00:00Z start 1x Code first 2026-11-23T07:00:00Z next 2026-11-23T07:01:00Z more",
        ] {
            let error = bad.parse::<Retry>().unwrap_err().to_string();
            assert!(error.starts_with("the tag `curfew:retry` is `"), "{error}");
        }
    }
}
