//! `curfew doctor`.

use std::fmt::Write as _;

use crate::doctor::{self, Check, CheckVerdict, DoctorReport, MistaggedGroup};
use crate::output::counted;
use crate::{CliError, Context, Exit};

pub(crate) async fn doctor(context: &mut Context) -> Result<(), CliError> {
    let configuration = match context.configuration() {
        Ok(configuration) => configuration,
        Err(error) => {
            context.output.print(
                &DoctorReport::of_bad_configuration(&error.to_string()),
                show,
            )?;
            return Err(CliError::new(Exit::Usage, "the configuration is not valid"));
        }
    };
    let connection = context.connect(&configuration).await?;
    let report = doctor::run_checks(&connection, &configuration, &context.clock).await;
    context.output.print(&report, show)?;
    match report.count(CheckVerdict::Fail) {
        0 => Ok(()),
        failed => Err(CliError::new(
            Exit::Failed,
            format!(
                "{failed} of {} failed",
                counted(report.checks.len(), "check")
            ),
        )),
    }
}

/// The indentation of the lines below the first one of a check.
const INDENT: usize = 21;

/// Formats the report: a summary, then one line per check, followed by its details and its hint.
fn show(report: &DoctorReport) -> String {
    let mut text = summary(report) + "\n\n";
    for check in &report.checks {
        one(&mut text, check);
    }
    text
}

fn summary(report: &DoctorReport) -> String {
    let number = |verdict| report.count(verdict);
    let (failed, warnings) = (number(CheckVerdict::Fail), number(CheckVerdict::Warn));
    if failed + warnings == 0 {
        return "No problems found.".to_owned();
    }
    let failed = (failed > 0).then(|| format!("{} failed", counted(failed, "check")));
    let warnings = (warnings > 0).then(|| counted(warnings, "warning"));
    let parts: Vec<String> = failed.into_iter().chain(warnings).collect();
    parts.join(", ")
}

fn one(text: &mut String, check: &Check) {
    let verdict = check.verdict.as_str();
    // Indents the further lines of a message, such as those of an invalid configuration.
    let message = check.message.replace('\n', &format!("\n{:INDENT$}", ""));
    let _ = writeln!(text, "{verdict:<4}  {:<13}  {message}", check.check);
    for group in &check.mistagged {
        mistagged(text, group);
    }
    if let Some(hint) = &check.hint {
        let _ = writeln!(text, "{:INDENT$}→ {hint}", "");
    }
}

/// Formats the instances with one mistake, and the command that corrects it on a line of its own.
fn mistagged(text: &mut String, group: &MistaggedGroup) {
    /// The number of instances that are named; the command has all of them.
    const NAMED: usize = 3;
    let mut names: Vec<String> = group
        .instances
        .iter()
        .take(NAMED)
        .map(|one| match &one.name {
            Some(name) => format!("{} ({})", name.escape_debug(), one.id),
            None => one.id.to_string(),
        })
        .collect();
    if group.instances.len() > NAMED {
        names.push(format!("{} more", group.instances.len() - NAMED));
    }
    let MistaggedGroup {
        message,
        command,
        region,
        account,
        ..
    } = group;
    let _ = writeln!(text, "      {} in {region} of {account}:", names.join(", "));
    let _ = writeln!(text, "      {message}");
    let _ = writeln!(text, "      $ {command}");
}
