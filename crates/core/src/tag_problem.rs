//! Finds instances that were probably meant to have a schedule, and have none because of a mistake in a tag. They are not errors of
//! the program: each instance is skipped with a reason. They are what a person most likely wants to mend.

use std::fmt;

use serde::Serialize;

use crate::assess::Assessment;
use crate::decision::Decision;
use crate::instance::{Instance, InstanceState};
use crate::schedule::{Schedule, ScheduleName, names};
use crate::schedule_set::ScheduleSet;
use crate::skip::SkipReason;

/// A mistake in the tags of an instance, with the correct value of its managing tag if there is a likely one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TagProblem {
    /// What is wrong with the tag.
    pub mistake: TagMistake,
    /// The likely value of the managing tag: the name of a schedule, an inline schedule, or `none`.
    pub suggestion: Option<String>,
}

/// A mistake in the tags of an instance.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TagMistake {
    /// The managing tag names a schedule that does not exist.
    UnknownSchedule {
        /// The managing tag's key.
        key: String,
        /// The value of the tag.
        value: String,
        /// The schedules of the configuration.
        known: Vec<ScheduleName>,
    },
    /// The managing tag's value is neither a name nor a schedule.
    MalformedSchedule {
        /// The managing tag's key.
        key: String,
        /// The value of the tag.
        value: String,
        /// The first error in it.
        problem: String,
    },
    /// The instance has no managing tag, and the `match` tables of several schedules apply.
    Ambiguous {
        /// The schedules that apply.
        schedules: Vec<ScheduleName>,
    },
    /// The tag that names the schedule has a key that is like the managing tag's, but another.
    WrongKey {
        /// The key of the tag.
        key: String,
        /// The value of the tag.
        value: String,
        /// The managing tag's key.
        expected: String,
    },
}

/// The kind of a mistake, as a stable code for scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum TagMistakeCode {
    /// The managing tag names a schedule that does not exist.
    UnknownSchedule,
    /// The managing tag's value is neither a name nor a schedule.
    MalformedSchedule,
    /// Several schedules apply.
    Ambiguous,
    /// A tag with another key names the schedule, such as `schedule` for `Schedule`.
    WrongKey,
}

impl TagProblem {
    /// Returns the mistake in the tags of an assessed instance, without determining its schedule again.
    pub(crate) fn of_assessed(
        instance: &Instance,
        assessment: &Assessment<'_>,
        schedule_set: &ScheduleSet,
    ) -> Option<Self> {
        let managing = match (&assessment.schedule, &assessment.decision) {
            (Some(schedule), _) => Ok(schedule.as_ref()),
            (None, Decision::Skip(skip)) => Err(&skip.reason),
            (None, Decision::Step(_)) => return None,
        };
        Self::find(instance, managing, schedule_set)
    }

    /// Returns the mistake in the tags of an instance, or `None` if there is none or the instance is terminated.
    pub fn of(instance: &Instance, schedule_set: &ScheduleSet) -> Option<Self> {
        let managing = schedule_set.schedule_for(instance);
        Self::find(instance, managing.as_deref(), schedule_set)
    }

    fn find(
        instance: &Instance,
        managing: Result<&Schedule, &SkipReason>,
        schedule_set: &ScheduleSet,
    ) -> Option<Self> {
        if let InstanceState::Terminated | InstanceState::ShuttingDown = instance.state {
            return None;
        }
        let Some(value) = schedule_set.tag_value(instance) else {
            return wrong_key(instance, schedule_set, managing.ok())
                .or_else(|| ambiguous(managing.err()?));
        };
        let reason = managing.err()?;
        let (key, value) = (schedule_set.tag.clone(), value.to_owned());
        let suggestion = closest(&value, schedule_set);
        let mistake = match reason {
            SkipReason::UnknownSchedule { known, .. } => TagMistake::UnknownSchedule {
                key,
                value,
                known: known.clone(),
            },
            SkipReason::MalformedSchedule { problems, .. } => TagMistake::MalformedSchedule {
                key,
                value,
                problem: problems.first().cloned().unwrap_or_default(),
            },
            _ => return None,
        };
        Some(Self {
            mistake,
            suggestion,
        })
    }
}

impl TagMistake {
    /// Returns the stable code.
    pub fn code(&self) -> TagMistakeCode {
        match self {
            Self::UnknownSchedule { .. } => TagMistakeCode::UnknownSchedule,
            Self::MalformedSchedule { .. } => TagMistakeCode::MalformedSchedule,
            Self::Ambiguous { .. } => TagMistakeCode::Ambiguous,
            Self::WrongKey { .. } => TagMistakeCode::WrongKey,
        }
    }
}

impl fmt::Display for TagMistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownSchedule { key, value, known } => {
                let same = known
                    .iter()
                    .find(|name| name.as_str().eq_ignore_ascii_case(value));
                write!(
                    f,
                    "the tag `{key}` names the schedule `{value}`, which does not exist"
                )?;
                match (same, known.as_slice()) {
                    (Some(name), _) => write!(f, ": upper and lower case matter, it is `{name}`"),
                    (None, []) => write!(f, ": the configuration has no schedules"),
                    (None, known) => write!(f, ": there is {}", names(known)),
                }
            }
            Self::MalformedSchedule {
                key,
                value,
                problem,
            } => write!(
                f,
                "the tag `{key}` has the value `{}`, which is neither a schedule's name nor a schedule: {problem}",
                value.escape_debug()
            ),
            Self::Ambiguous { schedules } => write!(
                f,
                "several schedules match: {}; the tag must name one",
                names(schedules)
            ),
            Self::WrongKey {
                key,
                value,
                expected,
            } => write!(
                f,
                "the tag `{}` has the value `{}`, but only the tag `{expected}` counts",
                key.escape_debug(),
                value.escape_debug()
            ),
        }
    }
}

fn ambiguous(reason: &SkipReason) -> Option<TagProblem> {
    let SkipReason::Ambiguous { schedules } = reason else {
        return None;
    };
    Some(TagProblem {
        suggestion: schedules.first().map(ToString::to_string),
        mistake: TagMistake::Ambiguous {
            schedules: schedules.clone(),
        },
    })
}

/// Looks for a tag whose key is like the managing tag's, and whose value has a meaning there. A tag of another tool that happens to
/// be called `schedule`, with a value of its own, is none. `managing` is the schedule that manages the instance by its `match`.
fn wrong_key(
    instance: &Instance,
    schedule_set: &ScheduleSet,
    managing: Option<&Schedule>,
) -> Option<TagProblem> {
    let mut similar = instance
        .tags
        .iter()
        .filter(|(key, _)| **key != schedule_set.tag && is_similar_key(key, &schedule_set.tag));
    similar.find_map(|(key, value)| {
        let suggestion = meaning(value.trim(), schedule_set)?;
        // The schedule's `match` already does what the tag says.
        let is_managed = managing.is_some_and(|schedule| schedule.name.as_str() == suggestion);
        (!is_managed).then(|| TagProblem {
            mistake: TagMistake::WrongKey {
                key: key.clone(),
                value: value.clone(),
                expected: schedule_set.tag.clone(),
            },
            suggestion: Some(suggestion),
        })
    })
}

/// Returns what the managing tag's value should be if `value` was meant: itself if it is valid, or else the closest name.
fn meaning(value: &str, schedule_set: &ScheduleSet) -> Option<String> {
    if value.is_empty() {
        return None;
    }
    match schedule_set.schedule_in_tag(value) {
        Ok(_) | Err(SkipReason::OptedOut { .. }) => Some(value.to_owned()),
        Err(_) => closest(value, schedule_set),
    }
}

/// Returns whether a key was probably meant to be the managing tag's: it differs in case and blanks, or by one letter.
fn is_similar_key(key: &str, expected: &str) -> bool {
    /// With fewer letters, one letter makes another word.
    const LONG: usize = 5;
    // Most keys have another length, and are not compared: a status has a hundred thousand tags.
    let number = |text: &str| text.trim().chars().count();
    if number(key).abs_diff(number(expected)) > 1 {
        return false;
    }
    let (key, expected) = (normalized(key), normalized(expected));
    key == expected || (expected.len() >= LONG && strsim::damerau_levenshtein(&key, &expected) == 1)
}

/// Returns the schedule whose name is closest to `value`, if it is close and no other one is as close.
fn closest(value: &str, schedule_set: &ScheduleSet) -> Option<String> {
    let value = normalized(value);
    let mut distances: Vec<(usize, &ScheduleName)> = schedule_set
        .schedules
        .keys()
        .map(|name| {
            (
                strsim::damerau_levenshtein(&value, &normalized(name.as_str())),
                name,
            )
        })
        .collect();
    distances.sort();
    let far = 1 + value.len() / 5;
    match distances.as_slice() {
        [(first, name), rest @ ..]
            if *first <= far && rest.first().is_none_or(|(next, _)| next > first) =>
        {
            Some(name.to_string())
        }
        _ => None,
    }
}

fn normalized(text: &str) -> String {
    text.trim().to_lowercase().replace([' ', '_'], "-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::Pattern;
    use crate::test_support::instance;
    use crate::timetable::Timetable;

    fn schedule_set(names: &[&str]) -> ScheduleSet {
        let schedule = |name: &&str| {
            let timetable = Timetable::parse_inline("Mon-Fri 08:00-20:00 Europe/Paris").unwrap();
            let mut schedule = Schedule::new(name.parse().unwrap(), timetable);
            schedule.matcher.tags = [("Team".to_owned(), Pattern::new("web"))].into();
            (schedule.name.clone(), schedule)
        };
        ScheduleSet {
            tag: "Schedule".to_owned(),
            schedules: names.iter().map(schedule).collect(),
        }
    }

    /// Returns the mistake and the suggestion for an instance with one tag.
    fn problem(key: &str, value: &str) -> String {
        let mut instance = instance("web");
        instance.tags.insert(key.to_owned(), value.to_owned());
        match TagProblem::of(&instance, &schedule_set(&["office", "night", "nights"])) {
            None => "none".to_owned(),
            Some(found) => format!(
                "{} → {}",
                found.mistake,
                found.suggestion.as_deref().unwrap_or("?")
            ),
        }
    }

    #[test]
    fn values_that_name_no_schedule_are_found_with_the_closest_name() {
        insta::assert_snapshot!([
            problem("Schedule", "Office"),
            problem("Schedule", "ofice"),
            problem("Schedule", "weekend"),
            problem("Schedule", "Night"),
            problem("Schedule", "office hours, Paris"),
        ].join("\n"), @"
        the tag `Schedule` names the schedule `Office`, which does not exist: upper and lower case matter, it is `office` → office
        the tag `Schedule` names the schedule `ofice`, which does not exist: there is `night`, `nights`, `office` → office
        the tag `Schedule` names the schedule `weekend`, which does not exist: there is `night`, `nights`, `office` → ?
        the tag `Schedule` names the schedule `Night`, which does not exist: upper and lower case matter, it is `night` → night
        the tag `Schedule` has the value `office hours, Paris`, which is neither a schedule's name nor a schedule: `Paris` is not an IANA time zone; did you mean `Europe/Paris`? → ?
        ");
        for right in ["office", " office ", "none", "Mon-Fri 08:00-20:00 UTC"] {
            assert_eq!(problem("Schedule", right), "none");
        }
    }

    #[test]
    fn keys_that_are_almost_the_managing_tag_are_found_if_the_value_has_a_meaning() {
        insta::assert_snapshot!([
            problem("schedule", "office"),
            problem("Schedule ", "OFFICE"),
            problem("Shedule", "Mon-Fri 08:00-20:00 UTC"),
            problem("SCHEDULE", "none"),
        ].join("\n"), @"
        the tag `schedule` has the value `office`, but only the tag `Schedule` counts → office
        the tag `Schedule ` has the value `OFFICE`, but only the tag `Schedule` counts → office
        the tag `Shedule` has the value `Mon-Fri 08:00-20:00 UTC`, but only the tag `Schedule` counts → Mon-Fri 08:00-20:00 UTC
        the tag `SCHEDULE` has the value `none`, but only the tag `Schedule` counts → none
        ");
        // Another tool's value, another word, and no value.
        assert_eq!(problem("schedule", "daily-backup"), "none");
        assert_eq!(problem("Scheduler", "cron"), "none");
        assert_eq!(problem("schedule", " "), "none");
    }

    #[test]
    fn several_matching_schedules_are_a_mistake_unless_the_tag_names_one() {
        let mut web = instance("web");
        web.tags.insert("Team".to_owned(), "web".to_owned());
        let both = schedule_set(&["office", "night"]);
        let found = TagProblem::of(&web, &both).unwrap();
        assert_eq!(found.mistake.code(), TagMistakeCode::Ambiguous);
        assert_eq!(found.suggestion.as_deref(), Some("night"));
        let only = schedule_set(&["office"]);
        assert_eq!(TagProblem::of(&web, &only), None);

        // The lower-case tag says what the match does already, or something else.
        web.tags.insert("schedule".to_owned(), "office".to_owned());
        assert_eq!(TagProblem::of(&web, &only), None);
        web.tags.insert("schedule".to_owned(), "none".to_owned());
        assert!(TagProblem::of(&web, &only).is_some());
        let found = TagProblem::of(&web, &both).unwrap();
        assert_eq!(found.mistake.code(), TagMistakeCode::WrongKey);

        web.state = InstanceState::Terminated;
        assert_eq!(TagProblem::of(&web, &both), None);
    }
}
