//! A schedule: a named timetable, the instances it takes, and how firmly it is applied.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::str::{Chars, FromStr};

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use crate::instance::{Instance, InstanceId, InstanceType};
use crate::string_newtype;
use crate::timetable::Timetable;

/// A named rule that says when the instances it manages should run.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// Its name in the configuration, or [`ScheduleName::inline`].
    pub name: ScheduleName,
    /// When it wants what.
    pub timetable: Timetable,
    /// How firmly it is applied.
    pub enforcement: Enforcement,
    /// An edge older than this is not applied any more.
    pub catch_up: SignedDuration,
    /// What becomes of an instance that Curfew has never acted on.
    pub adopt: Adopt,
    /// How its instances are stopped.
    pub stop_by: StopBy,
    /// The types that a start tries, in this order, while EC2 has no room for the instance's own.
    pub fallback_types: Vec<InstanceType>,
    /// Which instances it takes by itself, besides those that name it in their tag.
    pub matcher: Matcher,
}

impl Schedule {
    /// How long an edge stays due, unless the schedule says otherwise: a day. Longer, and a fleet that was cut off over
    /// a weekend is stopped on Monday for Friday; shorter, and an outage of a night loses the night's edge.
    pub const DEFAULT_CATCH_UP: SignedDuration = SignedDuration::from_hours(24);

    /// A schedule with every policy at its default, that takes no instance by itself.
    pub fn new(name: ScheduleName, timetable: Timetable) -> Self {
        Self {
            name,
            timetable,
            enforcement: Enforcement::OncePerEdge,
            catch_up: Self::DEFAULT_CATCH_UP,
            adopt: Adopt::NextEdge,
            stop_by: StopBy::Stopping,
            fallback_types: Vec::new(),
            matcher: Matcher::default(),
        }
    }
}

/// How firmly a schedule is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enforcement {
    /// Each edge once per instance: what a person changes afterwards stays until the next edge.
    OncePerEdge,
    /// The schedule wins at every pass (`enforce = true`).
    Enforced,
}

/// What becomes of an instance that carries no memory of Curfew yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", try_from = "String")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
// The names themselves: `try_from` is for the wording of its errors.
#[cfg_attr(feature = "schema", schemars(!try_from))]
pub enum Adopt {
    /// Edges after its launch are due: what someone launched at 15:00 is not stopped for last night's edge.
    #[default]
    NextEdge,
    /// It is brought to the desired state at once.
    Converge,
}

impl TryFrom<String> for Adopt {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "next-edge" => Ok(Self::NextEdge),
            "converge" => Ok(Self::Converge),
            _ => Err(format!(
                "found `{}`; allowed is `next-edge` or `converge`",
                text.escape_debug()
            )),
        }
    }
}

/// How instances are stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopBy {
    /// A plain stop.
    Stopping,
    /// Hibernation where the instance is configured for it, else a plain stop.
    Hibernating,
}

/// A schedule's own claim to instances.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matcher {
    /// These instances.
    pub ids: Vec<InstanceId>,
    /// Instances that carry all of these tags.
    pub tags: BTreeMap<String, Pattern>,
}

impl Matcher {
    /// Whether the instance is listed, or carries every tag asked for. An empty matcher takes nothing.
    pub fn takes(&self, instance: &Instance) -> bool {
        let carries = |(key, pattern): (&String, &Pattern)| {
            instance
                .tags
                .get(key)
                .is_some_and(|value| pattern.matches(value))
        };
        self.ids.contains(&instance.id) || (!self.tags.is_empty() && self.tags.iter().all(carries))
    }
}

/// A tag value with wildcards, as in EC2's filters: `*` is any run of characters, `?` any one, and `\` makes the next literal.
///
/// ```
/// use curfew_core::schedule::Pattern;
///
/// assert!(Pattern::new("dev*").matches("dev-2"));
/// assert!(!Pattern::new("dev?").matches("dev"));
/// assert!(Pattern::new(r"\*").matches("*"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct Pattern {
    text: String,
    pieces: Vec<Piece>,
}

impl Pattern {
    /// Every text is a pattern.
    pub fn new(text: impl Into<String>) -> Self {
        let text = text.into();
        let mut characters = text.chars();
        let pieces = std::iter::from_fn(|| {
            Some(match characters.next()? {
                '*' => Piece::Any,
                '?' => Piece::One,
                '\\' => Piece::Literal(characters.next().unwrap_or('\\')),
                c => Piece::Literal(c),
            })
        })
        .collect();
        Self { text, pieces }
    }

    /// Whether the whole of `value` matches; case counts, as it does in tags.
    pub fn matches(&self, value: &str) -> bool {
        let mut piece = 0;
        let mut rest = value.chars();
        // Where to resume when a literal fails: after the latest `*`, with one more character given to it.
        let mut resume: Option<(usize, Chars<'_>)> = None;
        loop {
            if let Some(Piece::Any) = self.pieces.get(piece) {
                piece += 1;
                resume = Some((piece, rest.clone()));
                continue;
            }
            match (self.pieces.get(piece), rest.next()) {
                (None, None) => return true,
                (Some(Piece::One), Some(_)) => piece += 1,
                (Some(Piece::Literal(wanted)), Some(found)) if *wanted == found => piece += 1,
                (Some(_), None) => return false,
                (_, Some(_)) => {
                    let Some((after_star, taken)) = &mut resume else {
                        return false;
                    };
                    taken.next();
                    (piece, rest) = (*after_star, taken.clone());
                }
            }
        }
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl From<String> for Pattern {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> Self {
        pattern.text
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Piece {
    /// Any run of characters.
    Any,
    /// Any one character.
    One,
    Literal(char),
}

/// A schedule's name: letters, digits, `-`, `_`, at most 32.
///
/// The length leaves room for it in an EventBridge rule's name, which has 64 characters; `none` and `inline` are taken.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(try_from = "String", into = "String")]
pub struct ScheduleName(String);

string_newtype!(ScheduleName, parsed);

impl ScheduleName {
    /// The value of the managing tag that opts an instance out.
    pub const NONE: &'static str = "none";

    /// The name that a schedule written in an instance's own tag goes by.
    pub fn inline() -> Self {
        Self("inline".to_owned())
    }
}

impl FromStr for ScheduleName {
    type Err = BadScheduleName;

    fn from_str(text: &str) -> Result<Self, BadScheduleName> {
        let well_formed = (1..=32).contains(&text.len())
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && text
                .bytes()
                .next()
                .is_some_and(|b| b.is_ascii_alphanumeric());
        if text.eq_ignore_ascii_case(Self::NONE) {
            Err(BadScheduleName::Reserved(text.to_owned()))
        } else if well_formed {
            Ok(Self(text.to_owned()))
        } else {
            Err(BadScheduleName::Malformed(text.chars().take(40).collect()))
        }
    }
}

impl Borrow<str> for ScheduleName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// Not a schedule's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadScheduleName {
    /// Wrong characters or length.
    #[error("`{}` is not a schedule name: 1 to 32 letters, digits, `-` and `_`, beginning with a letter or digit", .0.escape_debug())]
    Malformed(String),
    /// `none` opts an instance out.
    #[error(
        "`{0}` can't name a schedule: in an instance's tag it means that no schedule manages it"
    )]
    Reserved(String),
}

/// The names that could have been meant, for a sentence.
pub fn one_of(known: &[ScheduleName]) -> String {
    if known.is_empty() {
        "the configuration has no schedules".into()
    } else {
        format!("there is {}", names(known))
    }
}

/// Names in backticks, for a sentence.
pub(crate) fn names(names: &[ScheduleName]) -> String {
    names
        .iter()
        .map(|name| format!("`{name}`"))
        .collect::<Vec<_>>()
        .join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example;
    use proptest::prelude::*;

    #[test]
    fn known_names_are_listed_where_there_are_any() {
        let name = |name: &str| name.parse().unwrap();
        assert_eq!(one_of(&[]), "the configuration has no schedules");
        assert_eq!(one_of(&[name("a"), name("b")]), "there is `a`, `b`");
    }

    #[test]
    fn names_fit_into_rule_names_and_none_is_taken() {
        for good in ["office", "night-stop", "2", "A_b-9"] {
            assert_eq!(good.parse::<ScheduleName>().unwrap().as_str(), good);
        }
        for bad in ["", "-x", "a b", "none", "None", &"x".repeat(33), "é"] {
            assert!(bad.parse::<ScheduleName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn an_empty_matcher_takes_nothing() {
        assert!(!Matcher::default().takes(&example::instance("web")));
    }

    #[test]
    fn a_matcher_wants_every_tag_or_a_listed_id() {
        let mut instance = example::instance("web");
        instance.tags.insert("Environment".into(), "dev-2".into());
        let mut matcher = Matcher::default();
        matcher
            .tags
            .insert("Environment".into(), Pattern::new("dev*"));
        assert!(matcher.takes(&instance));
        matcher.tags.insert("Team".into(), Pattern::new("*"));
        assert!(!matcher.takes(&instance), "no Team tag");
        matcher.ids.push(instance.id.clone());
        assert!(matcher.takes(&instance));
    }

    proptest! {
        /// Against the textbook recursion.
        #[test]
        fn patterns_match_as_the_definition_says(pattern in "[ab*?]{0,8}", value in "[ab]{0,8}") {
            fn defined(p: &[u8], v: &[u8]) -> bool {
                match (p.first(), v.first()) {
                    (None, None) => true,
                    (Some(b'*'), _) => defined(&p[1..], v) || (!v.is_empty() && defined(p, &v[1..])),
                    (Some(b'?'), Some(_)) => defined(&p[1..], &v[1..]),
                    (Some(a), Some(b)) if a == b => defined(&p[1..], &v[1..]),
                    _ => false,
                }
            }
            prop_assert_eq!(Pattern::new(&pattern).matches(&value), defined(pattern.as_bytes(), value.as_bytes()));
        }
    }
}
