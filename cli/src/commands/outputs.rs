//! `curfew outputs`.

use curfew_deploy::Outputs;

use crate::{CliError, Context};

pub(crate) async fn outputs(context: &mut Context) -> Result<(), CliError> {
    let configuration = context.configuration()?;
    let connection = context.connect(&configuration).await?;
    let outputs = curfew_deploy::outputs(&connection, &configuration.stack.name).await?;
    context.output.print(&outputs, list)
}

/// Formats the URL, the IDs and the rules of a stack, one per line.
pub(crate) fn list(outputs: &Outputs) -> String {
    let mut lines = vec![("api url", outputs.api_url.clone())];
    lines.extend(outputs.forwarded_url.clone().map(|url| ("forwarded", url)));
    lines.extend([
        ("api id", outputs.api_id.clone()),
        ("stage", outputs.stage.clone()),
        ("function", outputs.function.clone()),
        ("queue", outputs.queue_url.clone()),
        ("rules", outputs.rules.join("\n           ")),
    ]);
    let line = |(name, value): (&str, String)| format!("{name:<10} {value}");
    lines.into_iter().map(line).collect::<Vec<_>>().join("\n") + "\n"
}

/// Returns `curl` commands that call the API of a stack.
pub(crate) fn examples(outputs: &Outputs) -> String {
    let url = outputs.forwarded_url.as_ref().unwrap_or(&outputs.api_url);
    let curl = |what: &str, path: &str| format!("  {what:<28} curl -s '{url}/{path}'\n");
    format!(
        "Try:\n{}{}{}",
        curl("what runs, and why", "status"),
        curl("stop an instance", "stop?instance=i-…"),
        curl("keep it running for 2 hours", "start?instance=i-…&for=2h"),
    )
}
