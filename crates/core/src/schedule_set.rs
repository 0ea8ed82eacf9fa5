//! Which schedule manages which instance.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::Serialize;

use crate::instance::Instance;
use crate::problem::Problem;
use crate::schedule::{Pattern, Schedule, ScheduleName};
use crate::skip::SkipReason;
use crate::timetable::Timetable;

/// All schedules, and the tag by which an instance names its own.
#[derive(Clone, Debug, PartialEq)]
pub struct ScheduleSet {
    /// The key of the managing tag; tag keys are case-sensitive.
    pub tag: String,
    /// Every schedule by its name.
    pub schedules: BTreeMap<ScheduleName, Schedule>,
}

impl ScheduleSet {
    /// The managing tag's key, unless the configuration says otherwise.
    pub const DEFAULT_TAG: &'static str = "Schedule";

    /// What of the schedules never happens after `now`, each with its key: see [`Timetable::never_fires`].
    pub fn warnings(&self, now: Timestamp) -> Vec<Problem> {
        self.schedules
            .values()
            .flat_map(|schedule| {
                let key = format!("schedules.{}", schedule.name);
                let sentences = schedule.timetable.never_fires(now);
                sentences
                    .into_iter()
                    .map(move |sentence| Problem::new(key.clone(), sentence))
            })
            .collect()
    }

    /// The schedule that manages an instance, or why none does. The instance's tag comes first: a schedule's name, a schedule
    /// written out, or `none`; then the schedules' matchers, of which exactly one must take it.
    pub fn schedule_for(&self, instance: &Instance) -> Result<Cow<'_, Schedule>, SkipReason> {
        if let Some(value) = self.tag_value(instance) {
            return self.schedule_in_tag(value);
        }
        let takers: Vec<&Schedule> = self
            .schedules
            .values()
            .filter(|schedule| schedule.matcher.takes(instance))
            .collect();
        only_taker(&takers).map(Cow::Borrowed)
    }

    /// How the schedule that manages an instance came to do so; none where none does.
    pub fn claim_on(&self, instance: &Instance) -> Option<Claim> {
        let schedule = self.schedule_for(instance).ok()?;
        let Some(value) = self.tag_value(instance) else {
            let matcher = &schedule.matcher;
            return Some(if matcher.ids.contains(&instance.id) {
                Claim::Ids
            } else {
                Claim::Tags {
                    tags: matcher.tags.clone(),
                }
            });
        };
        let (key, value) = (self.tag.clone(), value.to_owned());
        Some(match schedule {
            Cow::Borrowed(_) => Claim::Tag { key, value },
            Cow::Owned(_) => Claim::Inline { key, value },
        })
    }

    /// What the managing tag says; a blank tag says nothing.
    pub(crate) fn tag_value<'i>(&self, instance: &'i Instance) -> Option<&'i str> {
        let value = instance.tags.get(&self.tag)?.trim();
        (!value.is_empty()).then_some(value)
    }

    /// The schedule that a tag names or overrides.
    pub(crate) fn schedule_in_tag(&self, value: &str) -> Result<Cow<'_, Schedule>, SkipReason> {
        if value.eq_ignore_ascii_case(ScheduleName::NONE) {
            return Err(SkipReason::OptedOut {
                tag: self.tag.clone(),
            });
        }
        if let Some(schedule) = self.schedules.get(value) {
            return Ok(Cow::Borrowed(schedule));
        }
        if value.parse::<ScheduleName>().is_ok() {
            return Err(SkipReason::UnknownSchedule {
                name: value.to_owned(),
                known: self.schedules.keys().cloned().collect(),
            });
        }
        match Timetable::parse_inline(value) {
            Ok(timetable) => Ok(Cow::Owned(Schedule::new(ScheduleName::inline(), timetable))),
            Err(problems) => Err(SkipReason::MalformedSchedule {
                tag: self.tag.clone(),
                problems: problems
                    .into_iter()
                    .map(|problem| problem.message)
                    .collect(),
            }),
        }
    }
}

/// How a schedule came to manage an instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "by", rename_all = "kebab-case")]
pub enum Claim {
    /// The instance's tag names it.
    Tag {
        /// The tag's key.
        key: String,
        /// Its value.
        value: String,
    },
    /// The instance's tag holds it, written out.
    Inline {
        /// The tag's key.
        key: String,
        /// Its value.
        value: String,
    },
    /// The schedule's `match` lists the instance.
    Ids,
    /// The schedule's `match` takes instances with these tags.
    Tags {
        /// Patterns by key.
        tags: BTreeMap<String, Pattern>,
    },
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag { key, .. } => write!(f, "its tag `{key}` names it"),
            Self::Inline { key, value } => {
                write!(f, "its tag `{key}` holds it: `{}`", value.escape_debug())
            }
            Self::Ids => f.write_str("the schedule's `match` lists it"),
            Self::Tags { tags } => {
                let tags: Vec<String> = tags
                    .iter()
                    .map(|(key, value)| format!("`{key}` = `{}`", value.as_str()))
                    .collect();
                write!(f, "the schedule's `match` takes {}", tags.join(", "))
            }
        }
    }
}

/// Of the schedules whose matchers take an instance, there must be one: several are never guessed between.
pub(crate) fn only_taker<'a>(takers: &[&'a Schedule]) -> Result<&'a Schedule, SkipReason> {
    match takers {
        [] => Err(SkipReason::Unmanaged),
        [schedule] => Ok(*schedule),
        several => Err(SkipReason::Ambiguous {
            schedules: several
                .iter()
                .map(|schedule| schedule.name.clone())
                .collect(),
        }),
    }
}
