//! Failed actions and their next attempts: the value of `curfew:retry`.

use std::fmt;
use std::str::FromStr;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::{MalformedTag, RETRY_TAG, whole_second};
use crate::string_newtype;
use crate::timetable::Action;

/// A failed action that waits for its next attempt.
///
/// EC2 refused the call, for lack of capacity for example, or it accepted a start that did not lead to running.
///
/// ```
/// use curfew_core::state_tags::Retry;
///
/// let text = "2026-11-23T07:00:00Z start 3x InsufficientInstanceCapacity first 2026-11-23T07:00:00Z next 2026-11-23T07:08:00Z";
/// let retry: Retry = text.parse()?;
/// assert_eq!((retry.attempts, retry.code.as_str()), (3, "InsufficientInstanceCapacity"));
/// assert_eq!(retry.to_string(), text);
/// # Ok::<(), curfew_core::state_tags::MalformedTag>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Retry {
    /// The instant of the edge or request that demands the action.
    #[serde(rename = "edge_at")]
    pub edge: Timestamp,
    /// The action that failed.
    pub action: Action,
    /// The number of attempts, at least one.
    pub attempts: u32,
    /// EC2's code for the failure of the latest attempt.
    #[serde(rename = "error_code")]
    pub code: ReasonCode,
    /// The instant of the first attempt, from which the catch-up limit counts.
    #[serde(rename = "first_attempt_at")]
    pub first: Timestamp,
    /// The earliest instant of the next attempt.
    pub next_attempt_at: Timestamp,
}

impl Retry {
    /// The waits after the first attempts, in minutes; all later attempts use the last value.
    ///
    /// Capacity often returns within minutes, so that the first waits are short; a pool that stays empty, or a broken volume, costs
    /// two calls an hour. Longer waits leave a team without its machines after capacity is back, shorter ones spend the account's
    /// rate limit on calls that fail. There is no jitter: instances that lack the same capacity wait equally long, so that one call
    /// starts them and one call tags them.
    const WAITS: [i64; 6] = [1, 2, 5, 10, 20, 30];

    /// The longest wait between two attempts.
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
            attempts,
            code,
            first,
            next_attempt_at,
        } = self;
        write!(
            f,
            "{edge} {action} {attempts}x {code} first {first} next {next_attempt_at}"
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
                attempts: tries
                    .strip_suffix('x')?
                    .parse()
                    .ok()
                    .filter(|tries| *tries > 0)?,
                code: Some(ReasonCode::new(code)).filter(|known| known.as_str() == code)?,
                first: first.parse().ok()?,
                next_attempt_at: next.parse().ok()?,
            })
        };
        let example = "`2026-11-23T07:00:00Z start 1x InsufficientInstanceCapacity first 2026-11-23T07:00:00Z next 2026-11-23T07:01:00Z`";
        read().ok_or_else(|| MalformedTag::new(RETRY_TAG, text, example))
    }
}

/// The retry to record if an attempt fails, without EC2's reason, which is known only then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NextRetry {
    /// The instant of the directive that demands the action.
    pub edge: Timestamp,
    /// The action of the attempt.
    pub action: Action,
    /// The number of attempts, including this one.
    pub attempts: u32,
    /// The instant of the first attempt.
    pub first: Timestamp,
    /// The earliest instant of the attempt after this one.
    pub next_attempt_at: Timestamp,
}

impl NextRetry {
    /// An attempt at `now` of the action that the directive at `edge` demands, after the `earlier` attempts of the same.
    pub fn at(now: Timestamp, edge: Timestamp, action: Action, earlier: Option<&Retry>) -> Self {
        let attempts = earlier.map_or(0, |retry| retry.attempts).saturating_add(1);
        let next = now.saturating_add(Retry::wait_after(attempts));
        Self {
            edge,
            action,
            attempts,
            first: earlier.map_or(whole_second(now), |retry| retry.first),
            next_attempt_at: whole_second(next.unwrap_or(Timestamp::MAX)),
        }
    }

    /// The retry to record, with the reason that EC2 gave.
    pub fn with_code(self, code: ReasonCode) -> Retry {
        let Self {
            edge,
            action,
            attempts,
            first,
            next_attempt_at,
        } = self;
        Retry {
            edge,
            action,
            attempts,
            code,
            first,
            next_attempt_at,
        }
    }
}

/// EC2's code for the reason of a failure: that of an error, or of an instance's state.
///
/// ```
/// use curfew_core::state_tags::ReasonCode;
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
    /// Longer codes are truncated: a tag's value has at most 256 characters, and the rest of it needs about 80. EC2's codes have at
    /// most 60 or so.
    const MAX_CHARACTERS: usize = 100;

    /// Makes a code of any text: characters that EC2's codes do not have become `-`.
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

    /// The code for a failure for which EC2 gave no reason.
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
        fn the_text_of_a_retry_parses_to_the_same_value(edge in instant(), start: bool, earlier: u32, code in ".{0,120}", now in instant()) {
            let action = if start { Action::Start } else { Action::Stop };
            let before = NextRetry::at(now, edge, action, None).with_code(ReasonCode::unexplained());
            let before = Retry { attempts: earlier, ..before };
            let retry = NextRetry::at(now, edge, action, Some(&before)).with_code(ReasonCode::new(&code));
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
    fn waits_between_attempts_grow_up_to_a_limit() {
        let now = "2026-11-23T07:00:00.9Z".parse().unwrap();
        let waits: Vec<String> = [0, 1, 2, 3, 4, 5, 6, 1000, u32::MAX]
            .map(|tries| {
                let first = NextRetry::at(now, now, Action::Start, None)
                    .with_code(ReasonCode::unexplained());
                let earlier = Retry {
                    attempts: tries,
                    ..first
                };
                NextRetry::at(now, now, Action::Start, Some(&earlier)).next_attempt_at
            })
            .map(|next| next.to_string()[11..16].to_owned())
            .into();
        assert_eq!(
            waits,
            [
                "07:01", "07:02", "07:05", "07:10", "07:20", "07:30", "07:30", "07:30", "07:30"
            ]
        );
        let last = NextRetry::at(Timestamp::MAX, now, Action::Start, None);
        assert_eq!(last.next_attempt_at, whole_second(Timestamp::MAX));
    }

    #[test]
    fn the_error_names_the_malformed_tag() {
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
