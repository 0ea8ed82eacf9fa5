//! `curfew doctor`.

use crate::doctor::{self, Check, CheckVerdict, DoctorReport, MistaggedGroup};
use crate::output::counted;
use crate::view::View;
use crate::{CliError, Context, Exit};

pub(crate) async fn doctor(context: &mut Context) -> Result<(), CliError> {
    let configuration = match context.configuration() {
        Ok(configuration) => configuration,
        Err(error) => {
            let report = DoctorReport::of_bad_configuration(&error.to_string(), error.remedy());
            context.output.print(&report, show)?;
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
fn show(report: &DoctorReport) -> View {
    let mut view = View::default();
    view.line(summary(report)).gap();
    for check in &report.checks {
        one(&mut view, check);
    }
    view
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

fn one(view: &mut View, check: &Check) {
    let lead = format!("{:<4}  {:<13}  ", check.verdict.as_str(), check.check);
    match check.message.trim_end().split_once('\n') {
        None => view.item(lead, &check.message),
        // The lines of an invalid configuration, with carets.
        Some((first, rest)) => view.item(lead, first).with_source(rest).gap(),
    };
    for group in &check.mistagged {
        mistagged(view, group);
    }
    if let Some(hint) = &check.hint {
        view.item(format!("{:INDENT$}→ ", ""), hint);
    }
}

/// Formats the instances with one mistake, and the command that corrects it on a line of its own.
fn mistagged(view: &mut View, group: &MistaggedGroup) {
    const INDENT: &str = "      ";
    /// The number of instances that are named; the command has all of them.
    const NAMED: usize = 3;
    let mut names: Vec<String> = group
        .instances
        .iter()
        .take(NAMED)
        .map(|one| match &one.name {
            Some(name) => format!("{name} ({})", one.id),
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
    let names = names.join(", ");
    view.item(INDENT, format!("{names} in {region} of {account}:"));
    view.item(INDENT, message);
    // Not wrapped, so that it can be copied.
    view.item(format!("{INDENT}$ {command}"), "");
}
