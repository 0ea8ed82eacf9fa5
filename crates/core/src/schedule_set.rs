//! The configured schedules, and the assignment of each instance to the schedule that manages it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::instance::Instance;
use crate::schedule::{Pattern, Schedule, ScheduleName};
use crate::skip::SkipReason;
use crate::timetable::Timetable;

/// All schedules, and the key of the tag by which an instance names its schedule.
#[derive(Clone, Debug, PartialEq)]
pub struct ScheduleSet {
    /// The key of the managing tag; tag keys are case-sensitive.
    pub tag: String,
    /// The schedules by name.
    pub schedules: BTreeMap<ScheduleName, Schedule>,
}

impl ScheduleSet {
    /// The default key of the managing tag.
    pub const DEFAULT_TAG: &'static str = "Schedule";

    /// Returns the schedule that manages an instance, or the reason why none does. The instance's tag takes precedence: it contains a
    /// schedule's name, an inline schedule, or `none`. Without the tag, exactly one schedule's matcher must match.
    pub fn schedule_for(&self, instance: &Instance) -> Result<Cow<'_, Schedule>, SkipReason> {
        if let Some(value) = self.tag_value(instance) {
            return self.schedule_in_tag(value);
        }
        let matching: Vec<&Schedule> = self
            .schedules
            .values()
            .filter(|schedule| schedule.matcher.matches(instance))
            .collect();
        single_match(&matching).map(Cow::Borrowed)
    }

    /// Returns how the instance is assigned to its schedule, or `None` if no schedule manages it.
    pub fn managed_by(&self, instance: &Instance) -> Option<ManagedBy> {
        let schedule = self.schedule_for(instance).ok()?;
        let Some(value) = self.tag_value(instance) else {
            let matcher = &schedule.matcher;
            return Some(if matcher.ids.contains(&instance.id) {
                ManagedBy::Ids
            } else {
                ManagedBy::Tags {
                    tags: matcher.tags.clone(),
                }
            });
        };
        let (key, value) = (self.tag.clone(), value.to_owned());
        Some(match schedule {
            Cow::Borrowed(_) => ManagedBy::Tag { key, value },
            Cow::Owned(_) => ManagedBy::Inline { key, value },
        })
    }

    /// Returns the value of the managing tag, unless it is blank.
    pub(crate) fn tag_value<'i>(&self, instance: &'i Instance) -> Option<&'i str> {
        let value = instance.tags.get(&self.tag)?.trim();
        (!value.is_empty()).then_some(value)
    }

    /// Returns the schedule that a tag's value names or contains.
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
            Ok(timetable) => Ok(Cow::Owned(Schedule {
                inline: Some(value.to_owned()),
                ..Schedule::new(ScheduleName::inline(), timetable)
            })),
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

/// The part of the configuration or the tag that assigns an instance to a schedule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "by", rename_all = "kebab-case")]
pub enum ManagedBy {
    /// The instance's tag names the schedule.
    Tag {
        /// The key of the tag.
        key: String,
        /// The value of the tag.
        value: String,
    },
    /// The instance's tag contains an inline schedule.
    Inline {
        /// The key of the tag.
        key: String,
        /// The value of the tag.
        value: String,
    },
    /// The schedule's `match` lists the instance.
    Ids,
    /// The schedule's `match` selects instances with these tags.
    Tags {
        /// The patterns by tag key.
        tags: BTreeMap<String, Pattern>,
    },
}

impl fmt::Display for ManagedBy {
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

/// Returns the only schedule that matches an instance. Fails if there is none, or if there are several: then none of them
/// is chosen.
pub(crate) fn single_match<'a>(matching: &[&'a Schedule]) -> Result<&'a Schedule, SkipReason> {
    match matching {
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
