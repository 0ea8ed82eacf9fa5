//! A schedule of Instance Scheduler: its properties, and their translation.

use std::collections::{BTreeMap, BTreeSet};

use curfew_core::problem::Problem;
use curfew_core::schedule::{Adopt, Enforcement};
use curfew_core::timetable::Action;
use serde_json::Value;

use super::periods::{Period, same_at_all_times, translate};
use crate::properties::Properties;
use crate::toml_writer::Draft;

/// A schedule as Instance Scheduler defines it.
#[derive(Debug)]
pub(super) struct SourceSchedule {
    pub(super) name: String,
    notes: Vec<String>,
    timezone: Option<String>,
    /// `override_status`, which makes Instance Scheduler ignore the periods.
    always: Option<Action>,
    /// `stop_new_instances`: the handling of instances that it never acted on.
    adopt: Adopt,
    enforcement: Enforcement,
    retain_running: bool,
    hibernate: bool,
    /// Names of SSM maintenance windows during which instances run.
    maintenance: Vec<String>,
    periods: Periods,
}

#[derive(Debug)]
enum Periods {
    /// Names of periods, resolved against the output of `describe-periods`.
    Named(Vec<String>),
    Inline(Vec<Period>),
}

impl SourceSchedule {
    /// Reads one element of `Schedules`.
    pub(super) fn from_command_line(index: usize, value: &Value) -> Result<Self, Vec<Problem>> {
        let mut properties = Properties::new(format!("Schedules[{index}]"), value);
        let name = properties.text("name").unwrap_or_default();
        if name.is_empty() {
            properties.refuse("name", "is missing");
        } else {
            properties.name(&name);
        }
        let mut named = properties.list("periods").unwrap_or_default();
        named.retain(|name| !name.is_empty());
        // A set, which Instance Scheduler prints in any order.
        named.sort();
        named.dedup();
        Self::read(name, Periods::Named(named), properties)
    }

    /// Reads a `Custom::ServiceInstanceSchedule` resource.
    pub(super) fn from_resource(id: &str, resource: &Value) -> Result<Self, Vec<Problem>> {
        let none = Value::Object(serde_json::Map::new());
        let mut properties = Properties::new(id, resource.get("Properties").unwrap_or(&none));
        let name = properties.text("Name").unwrap_or_else(|| id.to_owned());
        properties.name(&name);
        let prefixed = !properties.flag("NoStackPrefix").unwrap_or(false);
        let mut known = Vec::new();
        let periods = properties.value("Periods");
        for (index, value) in periods
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .enumerate()
        {
            let number = index + 1;
            let mut period = Properties::new(format!("{name}.Periods[{index}]"), value);
            if let Some(size) = period.text("InstanceType") {
                period.refuse("InstanceType", resize_refusal(&number.to_string(), &size));
            }
            match Period::read(&number.to_string(), period) {
                Ok(period) => known.push(period),
                Err(problems) => properties.problems.extend(problems),
            }
        }
        if periods.is_some_and(|periods| !periods.is_array()) {
            properties.refuse("Periods", "is not a list");
        }
        let mut schedule = Self::read(name, Periods::Inline(known), properties)?;
        if prefixed {
            schedule.notes.push(format!(
                "Instance Scheduler prefixes this name with the stack's: the instances' tags are `STACK-{}`. Rename the schedule, \
                 or change the tags.",
                schedule.name
            ));
        }
        if let Some(condition) = resource.get("Condition").and_then(Value::as_str) {
            schedule.notes.push(format!(
                "The template creates it only under the condition `{condition}`."
            ));
        }
        Ok(schedule)
    }

    fn read(
        name: String,
        periods: Periods,
        mut from: Properties<'_>,
    ) -> Result<Self, Vec<Problem>> {
        from.ignore(&[
            "type",
            "overwrite",
            "configured_in_stack",
            "ServiceToken",
            "Timeout",
        ]);
        let mut notes: Vec<String> = from.text("description").into_iter().collect();
        if from.flag("use_metrics") == Some(true) || from.flag("Metrics") == Some(true) {
            notes.push(
                "`use_metrics` is not translated: Curfew has its own metrics, for all schedules."
                    .into(),
            );
        }
        let always = match from
            .text("override_status")
            .map(|text| text.to_lowercase())
            .as_deref()
        {
            None => None,
            Some("running") => Some(Action::Start),
            Some("stopped") => Some(Action::Stop),
            Some(other) => {
                from.refuse(
                    "override_status",
                    format!("is `{other}`; allowed are `running` and `stopped`"),
                );
                None
            }
        };
        let maintenance = from.list("ssm_maintenance_window").unwrap_or_default();
        let heeds_maintenance = from.flag("use_maintenance_window") != Some(false);
        let schedule = Self {
            name,
            notes,
            always,
            maintenance: if heeds_maintenance {
                maintenance
            } else {
                Vec::new()
            },
            periods,
            timezone: from.text("timezone"),
            adopt: match from.flag("stop_new_instances") {
                Some(false) => Adopt::NextEdge,
                _ => Adopt::Converge,
            },
            enforcement: match from.flag("enforced") {
                Some(true) => Enforcement::Enforced,
                _ => Enforcement::OncePerEdge,
            },
            retain_running: from.flag("retain_running") == Some(true),
            hibernate: from.flag("hibernate") == Some(true),
        };
        let problems = from.finish();
        if problems.is_empty() {
            Ok(schedule)
        } else {
            Err(problems)
        }
    }

    /// Returns the names of the periods that it refers to.
    pub(super) fn period_names(&self) -> Vec<String> {
        let name = |reference: &String| split(reference).0.to_owned();
        match &self.periods {
            Periods::Named(references) => references.iter().map(name).collect(),
            Periods::Inline(_) => Vec::new(),
        }
    }

    /// Returns its periods, or the reasons why they can't be used.
    pub(super) fn periods(
        &self,
        known: &BTreeMap<String, Period>,
        bad: &BTreeSet<String>,
    ) -> Result<Vec<Period>, Vec<Problem>> {
        let references = match &self.periods {
            Periods::Inline(periods) => return Ok(periods.clone()),
            Periods::Named(references) => references,
        };
        let mut found = Vec::new();
        let mut problems = Vec::new();
        for reference in references {
            let message = match (split(reference), known.get(split(reference).0)) {
                ((name, Some(size)), _) => resize_refusal(name, size),
                ((name, None), _) if bad.contains(name) => {
                    format!("its period `{name}` is refused")
                }
                (_, Some(period)) => {
                    found.push(period.clone());
                    continue;
                }
                ((name, None), None) => {
                    format!("its period `{name}` is missing; add the output of `describe-periods`")
                }
            };
            problems.push(Problem::new(format!("{}.periods", self.name), message));
        }
        if problems.is_empty() {
            Ok(found)
        } else {
            Err(problems)
        }
    }

    /// Translates the schedule with these periods.
    pub(super) fn translate(&self, periods: &[Period]) -> Result<Draft, Vec<Problem>> {
        let mut draft = Draft {
            name: self.name.clone(),
            notes: self.notes.clone(),
            ..Draft::default()
        };
        draft.raw.enforce = self.enforcement == Enforcement::Enforced;
        draft.raw.adopt = self.adopt;
        draft.raw.hibernate = self.hibernate;
        if self.timezone.is_none() {
            draft.note(
                "It has no time zone, so Instance Scheduler uses the stack's default, which is UTC unless configured \
                 otherwise: check `timezone`.",
            );
        }
        draft.raw.timezone = Some(self.timezone.clone().unwrap_or_else(|| "UTC".to_owned()));
        if self.adopt == Adopt::NextEdge {
            draft.note(
                "`stop_new_instances` is false: a new instance is not changed before its first edge. Instance Scheduler \
                 would start it at once during a period.",
            );
        }
        if self.retain_running && self.enforcement == Enforcement::OncePerEdge {
            draft.note(
                "`retain_running` is not translated: an instance that was started by hand before a period is stopped at \
                 its end. To keep one running, set an override: `curfew start --for 12h`.",
            );
        }
        if !self.maintenance.is_empty() {
            draft.note(format!(
                "`ssm_maintenance_window` is not translated: Instance Scheduler also starts instances during {}. Curfew reads \
                 no maintenance windows: add lines to `running`.",
                self.maintenance.join(", ")
            ));
        }
        if let Some(action) = self.always {
            let ignored = periods.len();
            draft.note(format!(
                "`override_status`: the same state at all times; {ignored} periods are ignored."
            ));
            same_at_all_times(&mut draft, action);
            return Ok(draft);
        }
        if periods.is_empty() {
            let message = "has no periods, so there is nothing to translate";
            return Err(vec![Problem::new(&self.name, message)]);
        }
        translate(&mut draft, periods)
            .map_err(|message| vec![Problem::new(format!("{}.periods", self.name), message)])?;
        Ok(draft)
    }
}

/// Splits `NAME@TYPE` into a period and the instance type that it sets.
fn split(reference: &str) -> (&str, Option<&str>) {
    reference
        .split_once('@')
        .map_or((reference, None), |(name, size)| (name, Some(size)))
}

fn resize_refusal(period: &str, size: &str) -> String {
    format!(
        "period `{period}` changes instances to type `{size}`; Curfew does not resize instances"
    )
}
