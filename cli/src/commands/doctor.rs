//! `curfew doctor`.

use std::fmt::Write as _;

use crate::doctor::{self, CheckVerdict, DoctorReport};
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
            format!("{failed} of {} checks failed", report.checks.len()),
        )),
    }
}

/// Formats the report: one line per check, followed by its hint.
fn show(report: &DoctorReport) -> String {
    let mut text = String::new();
    for check in &report.checks {
        let verdict = check.verdict.as_str();
        // Indents the further lines of a message, such as those of an invalid configuration.
        let message = check.message.replace('\n', &format!("\n{:21}", ""));
        let _ = writeln!(text, "{verdict:<4}  {:<13}  {message}", check.check);
        if let Some(hint) = &check.hint {
            let _ = writeln!(text, "{:21}→ {hint}", "");
        }
    }
    text
}
