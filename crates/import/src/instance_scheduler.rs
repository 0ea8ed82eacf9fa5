//! Instance Scheduler on AWS: the JSON of its command line, or its CloudFormation resources.
//!
//! Read from its sources: `handler/cli/cli_request_handler.py` (what the command line prints), `handler/cfn_schedule.py`
//! (what a template may say), `model/` (what is valid).

mod periods;
mod schedule;

use std::collections::{BTreeMap, BTreeSet};

use curfew_core::problem::Problem;
use serde_json::{Deserializer, Value};

use self::periods::Period;
use self::schedule::Theirs;
use crate::Imported;
use crate::properties::Properties;
use crate::sheet::finish;

const RESOURCE: &str = "Custom::ServiceInstanceSchedule";

/// Translates what Instance Scheduler's command line prints (`describe-schedules` and `describe-periods`, in one text in any
/// order), or a CloudFormation template in JSON with `Custom::ServiceInstanceSchedule` resources.
///
/// # Errors
///
/// What is wrong with the text; and when no schedule at all can be translated, why not each.
///
/// ```
/// let template = r#"{"Resources": {"Office": {
///     "Type": "Custom::ServiceInstanceSchedule",
///     "Properties": {
///         "Timezone": "Europe/Paris", "NoStackPrefix": "True",
///         "Periods": [{"BeginTime": "08:00", "EndTime": "20:00", "WeekDays": "Mon-Fri"}]
///     }
/// }}}"#;
/// let imported = curfew_import::instance_scheduler(template).unwrap();
/// assert!(imported.toml.contains(r#"running = "Mon-Fri 08:00-20:00" # period 1"#));
/// ```
pub fn instance_scheduler(text: &str) -> Result<Imported, Vec<Problem>> {
    let mut found = Found::default();
    let text = text.trim_start_matches('\u{feff}').trim();
    if text.is_empty() {
        found.complain("is empty; give the output of `describe-schedules` and `describe-periods`");
    }
    for document in Deserializer::from_str(text).into_iter::<Value>() {
        match document {
            Ok(document) => found.read(&document),
            Err(error) => found.complain(format!(
                "is not JSON ({error}); YAML is not read: convert a template to JSON first"
            )),
        }
    }
    found.translate()
}

/// What the documents hold.
#[derive(Default)]
struct Found {
    schedules: Vec<Theirs>,
    periods: BTreeMap<String, Period>,
    /// Periods that are in the documents and can't be used.
    bad_periods: BTreeSet<String>,
    refused: Vec<Problem>,
    /// Something is wrong with the text as a whole.
    unreadable: bool,
    origins: BTreeSet<&'static str>,
}

impl Found {
    fn complain(&mut self, message: impl Into<String>) {
        self.unreadable = true;
        self.refused.push(Problem::new("document", message));
    }

    fn read(&mut self, document: &Value) {
        if let Some(documents) = document.as_array() {
            return documents.iter().for_each(|document| self.read(document));
        }
        let part = |key: &str| {
            document.get(key).map(|value| {
                value
                    .as_array()
                    .map_or(std::slice::from_ref(value), Vec::as_slice)
            })
        };
        let mut empty = true;
        for value in [part("Schedules"), part("Schedule")].into_iter().flatten() {
            empty = false;
            self.origins.insert("`describe-schedules`");
            for (index, schedule) in value.iter().enumerate() {
                let read = Theirs::from_command_line(index, schedule);
                self.keep(read);
            }
        }
        for value in [part("Periods"), part("Period")].into_iter().flatten() {
            empty = false;
            self.origins.insert("`describe-periods`");
            for period in value {
                self.read_period(period);
            }
        }
        if let Some(resources) = document.get("Resources").and_then(Value::as_object) {
            let before = self.origins.len();
            for (id, resource) in resources {
                empty &= !self.read_resource(id, resource);
            }
            if before == self.origins.len() && empty {
                self.complain(format!("has resources, but none of type `{RESOURCE}`"));
            }
        } else if self.read_resource("schedule", document) {
            // A resource by itself.
        } else if let Some(error) = document.get("Error") {
            self.complain(format!("is an error of Instance Scheduler's own: {error}"));
        } else if empty {
            self.complain(
                "has no `Schedules`, no `Periods` and no `Resources`: it is neither the output of `describe-schedules` or \
                 `describe-periods` nor a template",
            );
        }
    }

    /// Whether it is one of ours to read.
    fn read_resource(&mut self, id: &str, resource: &Value) -> bool {
        if resource.get("Type").and_then(Value::as_str) != Some(RESOURCE) {
            return false;
        }
        self.origins.insert("a CloudFormation template");
        let read = Theirs::from_resource(id, resource);
        self.keep(read);
        true
    }

    fn keep(&mut self, read: Result<Theirs, Vec<Problem>>) {
        match read {
            Ok(new) if self.schedules.iter().any(|known| known.name == new.name) => {
                self.refused
                    .push(Problem::new(new.name, "is there twice; the first is taken"));
            }
            Ok(new) => self.schedules.push(new),
            Err(problems) => self.refused.extend(problems),
        }
    }

    fn read_period(&mut self, value: &Value) {
        let mut properties = Properties::new("periods", value);
        let Some(name) = properties.text("name") else {
            properties.refuse("name", "is missing");
            return self.refused.extend(properties.problems);
        };
        properties.name(&format!("periods.{name}"));
        match Period::read(&name, properties) {
            Ok(period) => match self.periods.get(&name) {
                Some(known) if *known != period => {
                    let message = "is there twice, with different properties";
                    self.refused
                        .push(Problem::new(format!("periods.{name}"), message));
                    self.bad_periods.insert(name);
                }
                _ => {
                    self.periods.insert(name, period);
                }
            },
            Err(problems) => {
                self.refused.extend(problems);
                self.bad_periods.insert(name);
            }
        }
    }

    fn translate(mut self) -> Result<Imported, Vec<Problem>> {
        let mut drafts = Vec::new();
        let mut used = BTreeSet::new();
        for theirs in &self.schedules {
            used.extend(theirs.period_names());
            let periods = theirs.periods(&self.periods, &self.bad_periods);
            match periods.and_then(|periods| theirs.translate(&periods)) {
                Ok(draft) => drafts.push(draft),
                Err(problems) => self.refused.extend(problems),
            }
        }
        if self.schedules.is_empty() && self.refused.is_empty() {
            self.complain("has no schedules; add the output of `describe-schedules`");
        }
        if self.unreadable {
            return Err(self.refused);
        }
        let origins: Vec<_> = self.origins.into_iter().collect();
        let mut header = vec![
            format!(
                "Imported from Instance Scheduler on AWS ({}) by `curfew import instance-scheduler`.",
                origins.join(", ")
            ),
            "Both read an instance's schedule from its tag `Schedule`; if your stack's tag is another, set `managing.tag`."
                .to_owned(),
            "Clock changes: an edge happens once here. There, one in the hour that occurs twice happens twice.".to_owned(),
        ];
        let unused: Vec<_> = self
            .periods
            .keys()
            .filter(|name| !used.contains(*name))
            .map(|name| format!("`{name}`"))
            .collect();
        if !unused.is_empty() {
            header.push(format!(
                "Periods that no schedule here uses: {}.",
                unused.join(", ")
            ));
        }
        finish(&header, drafts, self.refused)
    }
}
