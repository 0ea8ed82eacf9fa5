//! A schedule: a named timetable, the instances that it manages, and the policies by which it is applied.

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::str::{Chars, FromStr};

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use crate::instance::{Instance, InstanceId, InstanceType};
use crate::string_newtype;
use crate::timetable::Timetable;

/// A named rule for the times at which the instances that it manages should run.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// The name in the configuration, or [`ScheduleName::inline`].
    pub name: ScheduleName,
    /// The tag's value that holds the schedule, if it is an inline one.
    pub inline: Option<String>,
    /// The schedule's edges and desired state.
    pub timetable: Timetable,
    /// Whether the schedule is applied once per edge or at every pass.
    pub enforcement: Enforcement,
    /// The maximum age of an edge that is still applied.
    pub catch_up: SignedDuration,
    /// The treatment of an instance without state tags.
    pub adopt: Adopt,
    /// The way in which instances are stopped.
    pub stop_by: StopBy,
    /// The instance types that a start tries, in this order, while EC2 has no capacity for the instance's own type.
    pub fallback_types: Vec<InstanceType>,
    /// The instances that the schedule manages in addition to those that name it in their tag.
    pub matcher: Matcher,
}

impl Schedule {
    /// The default of `catch_up`: a day. With a longer time a fleet that was unreachable over a weekend is stopped on Monday for
    /// Friday's edge; with a shorter time an outage of a night loses the night's edge.
    pub const DEFAULT_CATCH_UP: SignedDuration = SignedDuration::from_hours(24);

    /// Makes a schedule with default policies and an empty matcher.
    pub fn new(name: ScheduleName, timetable: Timetable) -> Self {
        Self {
            name,
            inline: None,
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

/// The policy for a state that differs from the schedule's desired state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enforcement {
    /// Each edge is applied once per instance; a later manual change stays until the next edge.
    OncePerEdge,
    /// The schedule wins at every pass (`enforce = true`).
    Enforced,
}

/// The treatment of an instance that has no state tags yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", try_from = "String")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
// The names themselves: `try_from` is for the wording of its errors.
#[cfg_attr(feature = "schema", schemars(!try_from))]
pub enum Adopt {
    /// Only edges after the launch are due: an instance launched at 15:00 is not stopped for last night's edge.
    #[default]
    NextEdge,
    /// The instance is brought to the desired state at once.
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

/// The way in which instances are stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopBy {
    /// Instances are stopped without hibernation.
    Stopping,
    /// Instances that are configured for it are hibernated, the others stopped.
    Hibernating,
}

/// The `match` table of a schedule, which selects instances by id and by tags.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matcher {
    /// The ids of instances that match.
    pub ids: Vec<InstanceId>,
    /// Instances that have all of these tags match.
    pub tags: BTreeMap<String, Pattern>,
}

impl Matcher {
    /// Returns whether the instance is listed or has all the tags. An empty matcher matches nothing.
    pub fn matches(&self, instance: &Instance) -> bool {
        self.ids.contains(&instance.id) || self.matches_tags(&instance.tags)
    }

    /// Returns whether an instance with these tags matches by them alone. A matcher without tags matches no tags.
    pub fn matches_tags(&self, tags: &BTreeMap<String, String>) -> bool {
        let carries = |(key, pattern): (&String, &Pattern)| {
            tags.get(key).is_some_and(|value| pattern.matches(value))
        };
        !self.tags.is_empty() && self.tags.iter().all(carries)
    }
}

/// A tag value with wildcards, as in EC2's filters: `*` matches any characters, `?` any one character, and `\` makes the next
/// character literal.
///
/// ```
/// use curfew_core::schedule::Pattern;
///
/// assert!(Pattern::new("dev*").matches("dev-2"));
/// assert!(!Pattern::new("dev?").matches("dev"));
/// assert!(Pattern::new(r"\*").matches("*"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(from = "String", into = "String")]
pub struct Pattern {
    text: String,
    pieces: Vec<PatternPart>,
}

impl Pattern {
    /// Parses a pattern; every text is valid.
    pub fn new(text: impl Into<String>) -> Self {
        let text = text.into();
        let mut characters = text.chars();
        let pieces = std::iter::from_fn(|| {
            Some(match characters.next()? {
                '*' => PatternPart::Any,
                '?' => PatternPart::One,
                '\\' => PatternPart::Literal(characters.next().unwrap_or('\\')),
                c => PatternPart::Literal(c),
            })
        })
        .collect();
        Self { text, pieces }
    }

    /// Returns whether the complete `value` matches; case matters, as in tags.
    pub fn matches(&self, value: &str) -> bool {
        let mut piece = 0;
        let mut rest = value.chars();
        // The position to resume from when a literal fails: after the latest `*`, which then matches one more character.
        let mut resume: Option<(usize, Chars<'_>)> = None;
        loop {
            if let Some(PatternPart::Any) = self.pieces.get(piece) {
                piece += 1;
                resume = Some((piece, rest.clone()));
                continue;
            }
            match (self.pieces.get(piece), rest.next()) {
                (None, None) => return true,
                (Some(PatternPart::One), Some(_)) => piece += 1,
                (Some(PatternPart::Literal(wanted)), Some(found)) if *wanted == found => piece += 1,
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

    /// Returns a value that both patterns match, with `x` for characters that may be any, or `None` if there is none.
    ///
    /// ```
    /// use curfew_core::schedule::Pattern;
    ///
    /// let common = |one, other| Pattern::new(one).common_value(&Pattern::new(other));
    /// assert_eq!(common("dev*", "*-eu").as_deref(), Some("dev-eu"));
    /// assert_eq!(common("dev*", "prod*"), None);
    /// ```
    pub fn common_value(&self, other: &Self) -> Option<String> {
        let mut visited = BTreeSet::from([(0, 0)]);
        // Breadth first: the first value found is a shortest one.
        let mut queue = VecDeque::from([((0, 0), String::new())]);
        while let Some(((here, there), value)) = queue.pop_front() {
            let (one, two) = (self.pieces.get(here), other.pieces.get(there));
            let mut step = |next: (usize, usize), character: Option<char>| {
                if visited.insert(next) {
                    let value = value.chars().chain(character).collect();
                    queue.push_back((next, value));
                }
            };
            match (one, two) {
                (None, None) => return Some(value),
                (Some(PatternPart::Any), Some(PatternPart::Any)) => {
                    step((here + 1, there), None);
                    step((here, there + 1), None);
                }
                (Some(PatternPart::Any), two) => {
                    step((here + 1, there), None);
                    if let Some(two) = two {
                        step((here, there + 1), Some(two.example()));
                    }
                }
                (one, Some(PatternPart::Any)) => {
                    step((here, there + 1), None);
                    if let Some(one) = one {
                        step((here + 1, there), Some(one.example()));
                    }
                }
                (Some(PatternPart::Literal(one)), Some(PatternPart::Literal(two))) => {
                    if one == two {
                        step((here + 1, there + 1), Some(*one));
                    }
                }
                (Some(PatternPart::One), Some(piece)) | (Some(piece), Some(PatternPart::One)) => {
                    step((here + 1, there + 1), Some(piece.example()));
                }
                (None, Some(_)) | (Some(_), None) => {}
            }
        }
        None
    }

    /// Returns the pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl PatternPart {
    fn example(self) -> char {
        match self {
            Self::Literal(character) => character,
            Self::Any | Self::One => 'x',
        }
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
enum PatternPart {
    /// Any number of characters.
    Any,
    /// Exactly one character.
    One,
    Literal(char),
}

/// A schedule's name: 1 to 32 letters, digits, `-` and `_`. The names `none` and `inline` are reserved.
///
/// The length leaves room in the name of an EventBridge rule, which has at most 64 characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(try_from = "String", into = "String")]
pub struct ScheduleName(String);

string_newtype!(ScheduleName, parsed);

impl ScheduleName {
    /// The value of the managing tag that opts an instance out.
    pub const NONE: &'static str = "none";

    /// Returns the name of every schedule that is written in an instance's tag.
    pub fn inline() -> Self {
        Self("inline".to_owned())
    }
}

impl FromStr for ScheduleName {
    type Err = InvalidScheduleName;

    fn from_str(text: &str) -> Result<Self, InvalidScheduleName> {
        let well_formed = (1..=32).contains(&text.len())
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && text
                .bytes()
                .next()
                .is_some_and(|b| b.is_ascii_alphanumeric());
        if text.eq_ignore_ascii_case(Self::NONE) {
            Err(InvalidScheduleName::Reserved(text.to_owned()))
        } else if well_formed {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidScheduleName::Malformed(
                text.chars().take(40).collect(),
            ))
        }
    }
}

impl Borrow<str> for ScheduleName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// The reason why a text is not a schedule's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidScheduleName {
    /// The text has other characters, or too many.
    #[error("`{}` is not a schedule name: 1 to 32 letters, digits, `-` and `_`, beginning with a letter or digit", .0.escape_debug())]
    Malformed(String),
    /// The name is `none`, which opts an instance out.
    #[error(
        "`{0}` can't name a schedule: in an instance's tag it means that no schedule manages it"
    )]
    Reserved(String),
}

/// Lists the configured schedules for the end of an error message.
pub fn known_schedules(known: &[ScheduleName]) -> String {
    if known.is_empty() {
        "the configuration has no schedules".into()
    } else {
        format!("there is {}", names(known))
    }
}

/// Joins names in backticks with commas.
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
    use crate::test_support;
    use proptest::prelude::*;

    #[test]
    fn known_names_are_listed_where_there_are_any() {
        let name = |name: &str| name.parse().unwrap();
        assert_eq!(known_schedules(&[]), "the configuration has no schedules");
        assert_eq!(
            known_schedules(&[name("a"), name("b")]),
            "there is `a`, `b`"
        );
    }

    #[test]
    fn names_fit_into_rule_names_and_none_is_reserved() {
        for good in ["office", "night-stop", "2", "A_b-9"] {
            assert_eq!(good.parse::<ScheduleName>().unwrap().as_str(), good);
        }
        for bad in ["", "-x", "a b", "none", "None", &"x".repeat(33), "é"] {
            assert!(bad.parse::<ScheduleName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn an_empty_matcher_matches_nothing() {
        assert!(!Matcher::default().matches(&test_support::instance("web")));
    }

    #[test]
    fn a_matcher_requires_every_tag_or_a_listed_id() {
        let mut instance = test_support::instance("web");
        instance.tags.insert("Environment".into(), "dev-2".into());
        let mut matcher = Matcher::default();
        matcher
            .tags
            .insert("Environment".into(), Pattern::new("dev*"));
        assert!(matcher.matches(&instance));
        matcher.tags.insert("Team".into(), Pattern::new("*"));
        assert!(!matcher.matches(&instance), "no Team tag");
        matcher.ids.push(instance.id.clone());
        assert!(matcher.matches(&instance));
    }

    proptest! {
        /// Compares the matcher with the recursive definition.
        #[test]
        fn patterns_match_like_the_recursive_definition(pattern in "[ab*?]{0,8}", value in "[ab]{0,8}") {
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
