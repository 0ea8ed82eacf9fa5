//! `curfew outputs`.

use curfew_aws::endpoint_kind::EndpointKind;
use curfew_deploy::{Auth, Outputs};

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

/// The parts of `curl` commands that call the API of a stack.
pub(crate) struct SampleCalls<'a> {
    pub(crate) outputs: &'a Outputs,
    pub(crate) auth: &'a Auth,
    pub(crate) endpoint: EndpointKind,
    pub(crate) region: &'a str,
    /// The ID of a managed instance, if there is one.
    pub(crate) instance: Option<&'a str>,
}

impl SampleCalls<'_> {
    /// Returns the commands, one per line, with the header that the API requires.
    pub(crate) fn lines(&self) -> String {
        let (header, note) = match (self.auth, self.endpoint) {
            (Auth::None, _) => (String::new(), ""),
            (Auth::Token(_), _) => (
                " -H \"Authorization: Bearer $TOKEN\"".to_owned(),
                "  # TOKEN is the one whose digest is in the configuration; `curfew token new` makes one\n",
            ),
            (Auth::Iam, endpoint) => {
                let user = match endpoint {
                    EndpointKind::Aws => {
                        "\"$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY\" -H \"X-Amz-Security-Token: $AWS_SESSION_TOKEN\""
                    }
                    EndpointKind::Emulator | EndpointKind::LocalEmulator => "test:test",
                };
                let scope = format!("aws:amz:{}:execute-api", self.region);
                (format!(" --aws-sigv4 {scope} --user {user}"), "")
            }
        };
        let url = &self.outputs.api_url;
        let curl = |path: &str| format!("  curl -s{header} '{url}/{path}'\n");
        let mut text = format!("{note}{}", curl("status"));
        if let Some(id) = self.instance {
            text += &curl(&format!("stop?instance={id}"));
            text += &curl(&format!("start?instance={id}&for=2h"));
        }
        text
    }
}
