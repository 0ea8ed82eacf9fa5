//! What is valid in the configuration of schedules and probably a mistake. `curfew check` reports it as warnings.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::RawScheduleSet;
use crate::problem::Problem;
use crate::schedule::{Matcher, Pattern, Schedule};

impl RawScheduleSet {
    /// Returns what is valid and probably a mistake after `now`, each with its key: what
    /// [`RawTimetable::warnings`](crate::timetable::RawTimetable::warnings) reports, a `match` without content, and schedules whose
    /// `match` selects the same instances. Schedules that are not valid are left out.
    pub fn warnings(&self, now: Timestamp) -> Vec<Problem> {
        let mut found = Vec::new();
        for (name, raw) in &self.schedules {
            let path = format!("schedules.{name}");
            // Those that combine others have no parts of their own.
            if !raw.is_combined() {
                found.extend(raw.timetable().warnings(&path, now));
            }
            let matcher = raw.matcher.as_ref();
            if matcher.is_some_and(|matcher| matcher.ids.is_empty() && matcher.tags.is_empty()) {
                found.push(Problem::new(
                    format!("{path}.match"),
                    "an empty `match` selects no instance; name tags or ids, or remove it",
                ));
            }
        }
        let (schedule_set, _) = self.resolve_valid();
        let schedules: Vec<&Schedule> = schedule_set.schedules.values().collect();
        for (index, one) in schedules.iter().enumerate() {
            for other in &schedules[..index] {
                if let Some(instance) = common_instance(&one.matcher, &other.matcher) {
                    let message = format!(
                        "{instance} is selected by `{}` too: it is skipped as ambiguous, unless its tag `{}` names a schedule",
                        other.name, schedule_set.tag
                    );
                    found.push(Problem::new(
                        format!("schedules.{}.match", one.name),
                        message,
                    ));
                }
            }
        }
        found
    }
}

/// Describes an instance that both matchers select. Matchers with different tags, of which an instance may carry both, are common
/// and not reported; if the tags of one are among those of the other, the instances of the other are in question.
fn common_instance(one: &Matcher, other: &Matcher) -> Option<String> {
    if let Some(id) = one.ids.iter().find(|id| other.ids.contains(id)) {
        return Some(format!("the instance `{id}`"));
    }
    let (fewer, more) = if one.tags.len() <= other.tags.len() {
        (&one.tags, &other.tags)
    } else {
        (&other.tags, &one.tags)
    };
    if fewer.is_empty() {
        return None;
    }
    let mut values: BTreeMap<&str, String> = BTreeMap::new();
    for (key, pattern) in more {
        let value = match fewer.get(key) {
            Some(known) => known.common_value(pattern)?,
            None => pattern.common_value(&Pattern::new("*"))?,
        };
        values.insert(key, value);
    }
    if !fewer.keys().all(|key| more.contains_key(key)) {
        return None;
    }
    let tags = values.iter();
    let tags: Vec<String> = tags
        .map(|(key, value)| match value.as_str() {
            "" => format!("any `{}`", key.escape_debug()),
            value => format!("`{}` = `{}`", key.escape_debug(), value.escape_debug()),
        })
        .collect();
    Some(format!("an instance with {}", tags.join(" and ")))
}
