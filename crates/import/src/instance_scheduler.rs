//! Instance Scheduler on AWS: the JSON of its command line, the items of its `DynamoDB` table, or its CloudFormation resources.
//!
//! Follows its sources: `handler/cli/cli_request_handler.py` (the output of the command line),
//! `handler/cfn_schedule.py` (the properties of a template), `model/` (validation).

mod periods;
mod schedule;

use std::collections::{BTreeMap, BTreeSet};

use curfew_core::problem::Problem;
use serde_json::{Deserializer, Value};

use self::periods::Period;
use self::schedule::SourceSchedule;
use crate::Imported;
use crate::properties::Properties;
use crate::toml_writer::finish;
use crate::{dynamodb, yaml};

const RESOURCE: &str = "Custom::ServiceInstanceSchedule";

/// The types of the items in Instance Scheduler's configuration table.
const ITEM_TYPES: [&str; 3] = ["schedule", "period", "config"];

fn item_type(item: &Value) -> &str {
    item.get("type").and_then(Value::as_str).unwrap_or_default()
}

/// Translates the output of Instance Scheduler's command line (`describe-schedules` and `describe-periods`, in one text
/// in any order), the items of its configuration table (the output of `aws dynamodb scan`, an export, or items without types), or a
/// CloudFormation template in YAML or JSON with `Custom::ServiceInstanceSchedule` resources.
///
/// # Errors
///
/// Returns the problems of a text that can't be read; and, if no schedule can be translated, the reasons for each.
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
    let mut documents = ParsedDocuments::default();
    let text = text.trim_start_matches('\u{feff}').trim();
    if text.is_empty() {
        documents
            .reject("is empty; pass the output of `describe-schedules` and `describe-periods`");
    }
    if text.starts_with(['{', '[']) {
        for document in Deserializer::from_str(text).into_iter::<Value>() {
            match document {
                Ok(document) => documents.read(&document),
                Err(error) => documents.reject(format!("is not JSON ({error})")),
            }
        }
    } else {
        match yaml::documents(text) {
            Ok(read) => read.iter().for_each(|document| documents.read(document)),
            Err(error) => documents.reject(format!("is neither JSON nor YAML ({error})")),
        }
    }
    documents.translate()
}

/// The schedules and periods of the documents read so far.
#[derive(Default)]
struct ParsedDocuments {
    schedules: Vec<SourceSchedule>,
    periods: BTreeMap<String, Period>,
    /// Periods that are present but invalid.
    bad_periods: BTreeSet<String>,
    refused: Vec<Problem>,
    /// Whether a document as a whole could not be read.
    unreadable: bool,
    origins: BTreeSet<&'static str>,
}

impl ParsedDocuments {
    fn reject(&mut self, message: impl Into<String>) {
        self.unreadable = true;
        self.refused.push(Problem::new("document", message));
    }

    fn read(&mut self, document: &Value) {
        if let Some(documents) = document.as_array() {
            return documents.iter().for_each(|document| self.read(document));
        }
        if let Some(items) = dynamodb::items(document) {
            if document.get("LastEvaluatedKey").is_some() || document.get("NextToken").is_some() {
                let message =
                    "is the first part of a longer list of items; scan the complete table";
                self.refused.push(Problem::new("document", message));
            }
            return items.iter().for_each(|item| self.read_item(item));
        }
        let item = dynamodb::plain_item(document);
        if ITEM_TYPES.contains(&item_type(&item)) {
            return self.read_item(&item);
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
                let read = SourceSchedule::from_command_line(index, schedule);
                self.add_schedule(read);
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
                self.reject(format!("has resources, but none of type `{RESOURCE}`"));
            }
        } else if self.read_resource("schedule", document) {
            // A single resource.
        } else if let Some(error) = document.get("Error") {
            self.reject(format!(
                "is an error message of Instance Scheduler: {error}"
            ));
        } else if empty {
            self.reject(
                "has no `Schedules`, `Periods`, `Items` or `Resources`: it is neither the output of `describe-schedules` or \
                 `describe-periods`, nor items of the DynamoDB table, nor a template",
            );
        }
    }

    /// Reads an item of the configuration table.
    fn read_item(&mut self, item: &Value) {
        self.origins.insert("the items of its DynamoDB table");
        match item_type(item) {
            "schedule" => {
                let read = SourceSchedule::from_command_line(self.schedules.len(), item);
                self.add_schedule(read);
            }
            "period" => self.read_period(item),
            // The configuration of the scheduler itself.
            "config" => {}
            other => {
                let message = format!(
                    "has the type `{}`; allowed are `schedule`, `period` and `config`",
                    other.escape_debug()
                );
                self.refused.push(Problem::new("item", message));
            }
        }
    }

    /// Reads a schedule resource. Returns false for a resource of any other type.
    fn read_resource(&mut self, id: &str, resource: &Value) -> bool {
        if resource.get("Type").and_then(Value::as_str) != Some(RESOURCE) {
            return false;
        }
        self.origins.insert("a CloudFormation template");
        let read = SourceSchedule::from_resource(id, resource);
        self.add_schedule(read);
        true
    }

    fn add_schedule(&mut self, read: Result<SourceSchedule, Vec<Problem>>) {
        match read {
            Ok(new) if self.schedules.iter().any(|known| known.name == new.name) => {
                self.refused.push(Problem::new(
                    new.name,
                    "appears twice; the first one is used",
                ));
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
                    let message = "appears twice, with different properties";
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
        for schedule in &self.schedules {
            used.extend(schedule.period_names());
            let periods = schedule.periods(&self.periods, &self.bad_periods);
            match periods.and_then(|periods| schedule.translate(&periods)) {
                Ok(draft) => drafts.push(draft),
                Err(problems) => self.refused.extend(problems),
            }
        }
        if self.schedules.is_empty() && self.refused.is_empty() {
            self.reject("has no schedules; add the output of `describe-schedules`");
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
