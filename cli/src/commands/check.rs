//! `curfew check`.

use std::path::PathBuf;

use clap::Args;
use curfew_aws::rules::TriggerRule;
use curfew_config::{Lookup, Overrides};
use curfew_core::problem::Problem;
use curfew_deploy::trigger_rules;
use serde::Serialize;

use crate::output::counted;
use crate::{CliError, Context};

/// Check a configuration file, and report every error in it; and what of it never happens.
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// The configuration file [default: as for every command]
    file: Option<PathBuf>,
}

#[derive(Serialize)]
struct Checked {
    file: Option<PathBuf>,
    schedules: Vec<String>,
    /// How many EventBridge rules the schedules and the heartbeat take.
    rules: usize,
    /// What is allowed and may not be meant.
    warnings: Vec<Warning>,
}

#[derive(Serialize)]
struct Warning {
    key: String,
    message: String,
}

pub(crate) fn check(context: &mut Context, args: CheckArgs) -> Result<(), CliError> {
    let overrides = match args.file {
        Some(file) => Overrides {
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
    let checked = Checked {
        file: configuration.file,
        schedules,
        rules,
        warnings: warnings
            .map(|Problem { key, message }| Warning { key, message })
            .collect(),
    };
    context.output.print(&checked, |checked| {
        let file = checked
            .file
            .as_ref()
            .map_or("the built-in defaults".to_owned(), |file| {
                format!("`{}`", file.display())
            });
        let good = match checked.schedules.as_slice() {
            [] => format!("{file} is good; it has no schedules yet"),
            names => format!(
                "{file} is good: {} ({})",
                counted(names.len(), "schedule"),
                names.join(", ")
            ),
        };
        checked.warnings.iter().fold(good, |text, warning| {
            format!("{text}\nwarning: `{}`: {}", warning.key, warning.message)
        })
    })
}

/// Says so when the schedules take most of a bus. Rules are shared by schedules whose edges are at the same minutes of the same days.
fn many_rules(rules: usize) -> Option<Problem> {
    (rules > TriggerRule::MANY).then(|| {
        let message = format!(
            "the schedules take {rules} EventBridge rules, and a bus has 300 unless AWS raised that: edges at the same minutes of the same \
             days share one"
        );
        Problem::new("schedules", message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_that_take_most_of_a_bus_are_told() {
        assert_eq!(many_rules(200), None);
        assert!(
            many_rules(201)
                .unwrap()
                .message
                .contains("201 EventBridge rules")
        );
    }
}
