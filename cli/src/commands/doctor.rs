//! `curfew doctor`.

use std::fmt::Write as _;

use crate::doctor::{self, Report, Verdict};
use crate::{CliError, Context, Exit};

pub(crate) async fn doctor(context: &mut Context) -> Result<(), CliError> {
    let configuration = match context.configuration() {
        Ok(configuration) => configuration,
        Err(error) => {
            context
                .output
                .print(&Report::of_bad_configuration(&error.to_string()), show)?;
            return Err(CliError::new(Exit::Usage, "the configuration is not valid"));
        }
    };
    let connection = context.connect(&configuration).await?;
    let report = doctor::examine(&connection, &configuration, &context.clock).await;
    context.output.print(&report, show)?;
    match report.count(Verdict::Fail) {
        0 => Ok(()),
        failed => Err(CliError::new(
            Exit::Failed,
            format!("{failed} of {} checks failed", report.checks.len()),
        )),
    }
}

/// A line for each check, and below it what to do.
fn show(report: &Report) -> String {
    let mut text = String::new();
    for check in &report.checks {
        let verdict = check.verdict.as_str();
        // Writing into a text can't fail. A message of several lines, as of bad configuration, stays under its first.
        let message = check.message.replace('\n', &format!("\n{:19}", ""));
        let _ = writeln!(text, "{verdict:<4}  {:<11}  {message}", check.check);
        if let Some(hint) = &check.hint {
            let _ = writeln!(text, "{:19}→ {hint}", "");
        }
    }
    text
}
