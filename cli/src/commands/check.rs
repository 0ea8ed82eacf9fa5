//! `curfew check`.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;
use curfew_aws::rules::TriggerRule;
use curfew_config::{CheckReport, Diagnostic, LoadOptions, Lookup, Place};
use curfew_core::problem::Problem;
use curfew_deploy::trigger_rules;
use serde::Serialize;

use crate::output::counted;
use crate::{CliError, Context, Exit};

/// Validate a configuration file and report all errors and warnings.
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// Configuration file [default: that of --config]
    file: Option<PathBuf>,
    /// Exit with 2 if there are warnings
    #[arg(long)]
    deny_warnings: bool,
}

/// The result of checking a valid configuration.
#[derive(Serialize, schemars::JsonSchema)]
pub(crate) struct CheckResult {
    /// The path of the configuration file.
    file: Option<PathBuf>,
    /// Errors, which make every command refuse the configuration.
    errors: Vec<Finding>,
    /// Valid settings that may be mistakes.
    warnings: Vec<Finding>,
    /// The names of the schedules; empty if there are errors.
    schedules: Vec<String>,
    /// The number of EventBridge rules for the schedules and the heartbeat; absent if there are errors.
    #[serde(skip_serializing_if = "Option::is_none")]
    rule_count: Option<usize>,
}

/// An error or a warning.
#[derive(Serialize, schemars::JsonSchema)]
struct Finding {
    /// The line in the file, from 1; absent if the value is not from the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
    /// The column in characters, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<usize>,
    /// The number of characters from the column on that the finding is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    length: Option<usize>,
    /// The environment variable that sets the value.
    #[serde(skip_serializing_if = "Option::is_none")]
    variable: Option<String>,
    /// The key, such as `schedules.office.except[1]`; absent if the file is not TOML.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    /// What was found, and what is allowed.
    message: String,
}

impl From<&Diagnostic> for Finding {
    fn from(diagnostic: &Diagnostic) -> Self {
        let position = diagnostic.position();
        Self {
            line: position.map(|position| position.line),
            column: position.map(|position| position.column),
            length: position.map(|position| position.length),
            variable: match &diagnostic.place {
                Place::Variable { name } => Some(name.clone()),
                Place::File { .. } | Place::Defaults => None,
            },
            key: diagnostic.key.clone(),
            message: diagnostic.message.clone(),
        }
    }
}

pub(crate) fn check(context: &mut Context, args: CheckArgs) -> Result<(), CliError> {
    let overrides = match args.file {
        Some(file) => LoadOptions {
            file: Some(file),
            ..context.flags()
        },
        None => context.overrides(Lookup::Folder)?,
    };
    let file = overrides.file.clone();
    let mut report = curfew_config::check(&overrides, context.clock.now())?;
    let configuration = report.configuration.take();
    let rules = configuration
        .as_ref()
        .map(|configuration| trigger_rules(configuration, &context.clock).len());
    if let Some(warning) = rules.and_then(many_rules) {
        report.warn(warning);
    }
    let names = configuration.iter();
    let names = names.flat_map(|configuration| configuration.schedule_set.schedules.keys());
    let result = CheckResult {
        file,
        errors: report.errors.iter().map(Finding::from).collect(),
        warnings: report.warnings.iter().map(Finding::from).collect(),
        schedules: names.map(ToString::to_string).collect(),
        rule_count: rules,
    };
    if let Some(error) = report.error() {
        if context.output.is_json() {
            context.output.print(&result, |_| String::new())?;
        }
        let warnings = warnings(&report);
        let error = CliError::from(error);
        return Err(if warnings.is_empty() {
            error
        } else {
            error.followed_by(&format!("\n{warnings}"))
        });
    }
    context
        .output
        .print(&result, |result| text(result, &report))?;
    if args.deny_warnings && !report.warnings.is_empty() {
        let warnings = counted(report.warnings.len(), "warning");
        let message = format!("{warnings}, and `--deny-warnings` does not allow any");
        return Err(CliError::new(Exit::Usage, message));
    }
    Ok(())
}

/// Formats the result for a valid configuration.
fn text(result: &CheckResult, report: &CheckReport) -> String {
    let file = result.file.as_ref();
    let file = file.map_or("the configuration".to_owned(), |file| {
        format!("`{}`", file.display())
    });
    let schedules = match result.schedules.as_slice() {
        [] => "it has no schedules".to_owned(),
        names => format!(
            "{} ({})",
            counted(names.len(), "schedule"),
            names.join(", ")
        ),
    };
    let mut text = format!("{file} is valid: {schedules}");
    let warnings = warnings(report);
    if !warnings.is_empty() {
        let count = counted(report.warnings.len(), "warning");
        let _ = write!(text, ", {count}\n\n{warnings}");
    }
    text
}

/// Formats the warnings, with the lines that they are about.
fn warnings(report: &CheckReport) -> String {
    let reports = report
        .warnings
        .iter()
        .map(|warning| warning.report("warning"));
    reports.collect::<Vec<_>>().join("\n")
}

/// Warns if the schedules need most of the rules of an event bus. Schedules with edges at the same minutes of the same days share rules.
fn many_rules(rules: usize) -> Option<Problem> {
    (rules > TriggerRule::MANY).then(|| {
        let message = format!(
            "the schedules need {rules} EventBridge rules; the default quota of a bus is 300. Schedules with edges at the same minutes of the \
             same days share rules"
        );
        Problem::new("schedules", message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_that_need_most_of_a_bus_are_reported() {
        assert_eq!(many_rules(200), None);
        assert!(
            many_rules(201)
                .unwrap()
                .message
                .contains("201 EventBridge rules")
        );
    }
}
