//! Which schedule governs which instance.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::instance::Instance;
use crate::plan::SkipReason;
use crate::schedule::{Schedule, ScheduleName};
use crate::timetable::Timetable;

/// All schedules, and the tag by which an instance names its own.
#[derive(Clone, Debug, PartialEq)]
pub struct Governance {
    /// The key of the governing tag; tag keys are case-sensitive.
    pub tag: String,
    /// Every schedule by its name.
    pub schedules: BTreeMap<ScheduleName, Schedule>,
}

impl Governance {
    /// The governing tag's key, unless the settings say otherwise.
    pub const DEFAULT_TAG: &'static str = "Schedule";

    /// The schedule that governs an instance, or why none does. The instance's tag comes first: a schedule's name, a schedule
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

    /// What the governing tag says; a blank tag says nothing.
    pub(crate) fn tag_value<'i>(&self, instance: &'i Instance) -> Option<&'i str> {
        let value = instance.tags.get(&self.tag)?.trim();
        (!value.is_empty()).then_some(value)
    }

    /// The schedule that a tag names or holds.
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

/// Of the schedules whose matchers take an instance, there must be one: several are never guessed between.
pub(crate) fn only_taker<'a>(takers: &[&'a Schedule]) -> Result<&'a Schedule, SkipReason> {
    match takers {
        [] => Err(SkipReason::Ungoverned),
        [schedule] => Ok(*schedule),
        several => Err(SkipReason::Ambiguous {
            schedules: several
                .iter()
                .map(|schedule| schedule.name.clone())
                .collect(),
        }),
    }
}
