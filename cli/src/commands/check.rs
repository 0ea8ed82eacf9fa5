//! `curfew check`.

use std::path::PathBuf;

use clap::Args;
use curfew_aws::rules::TriggerRule;
use curfew_config::{LoadOptions, Lookup};
use curfew_core::problem::Problem;
use curfew_deploy::trigger_rules;
use serde::Serialize;

use crate::output::counted;
use crate::{CliError, Context};

/// Validate a configuration file and report all errors and warnings.
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// Configuration file [default: that of --config]
    file: Option<PathBuf>,
}

/// The result of checking a valid configuration.
#[derive(Serialize, schemars::JsonSchema)]
pub(crate) struct CheckResult {
    /// The path of the configuration file.
    file: Option<PathBuf>,
    /// The names of the schedules.
    schedules: Vec<String>,
    /// The number of EventBridge rules for the schedules and the heartbeat.
    rules: usize,
    /// Valid settings that may be mistakes.
    warnings: Vec<Warning>,
}

#[derive(Serialize, schemars::JsonSchema)]
struct Warning {
    /// The key, such as `schedules.office`.
    key: String,
    /// The warning: one sentence.
    message: String,
}

pub(crate) fn check(context: &mut Context, args: CheckArgs) -> Result<(), CliError> {
    let overrides = match args.file {
        Some(file) => LoadOptions {
            file: Some(file),
            ..context.flags()
        },
        None => context.overrides(Lookup::Folder)?,
    };
    let configuration = curfew_config::load(&overrides)?;
    let schedules = configuration
        .schedule_set
        .schedules
        .keys()
        .map(ToString::to_string)
        .collect();
    let rules = trigger_rules(&configuration, &context.clock).len();
    let idle = configuration.schedule_set.warnings(context.clock.now());
    let warnings = configuration.warnings.into_iter().chain(idle);
    let warnings = warnings.chain(many_rules(rules));
    let checked = CheckResult {
        file: configuration.file,
        schedules,
        rules,
        warnings: warnings
            .map(|Problem { key, message }| Warning { key, message })
            .collect(),
    };
    context.output.print(&checked, |checked| {
        let file = checked.file.as_ref().map(|file| file.display());
        let summary = match (file, checked.schedules.as_slice()) {
            (None, []) => {
                "no configuration file found; pass --config or create curfew.toml".to_owned()
            }
            (Some(file), []) => format!("`{file}` is valid; it has no schedules"),
            (file, names) => format!(
                "{} is valid: {} ({})",
                file.map_or("the environment".to_owned(), |file| format!("`{file}`")),
                counted(names.len(), "schedule"),
                names.join(", ")
            ),
        };
        checked.warnings.iter().fold(summary, |text, warning| {
            format!("{text}\nwarning: `{}`: {}", warning.key, warning.message)
        })
    })
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
