//! `curfew document`: the configuration as the Lambda reads it, for other deployment tools (docs/how-to/other-tools.md). Makes no calls.

use curfew_aws::configuration_document::StoredDocument;
use curfew_deploy::DeployError;
use serde::Serialize;

use crate::{CliError, Context, Exit};

/// The SSM parameters that the Lambda reads, in the order in which to write them. Scripts rely on the JSON form.
#[derive(Serialize, schemars::JsonSchema)]
pub(crate) struct ParameterDocument {
    /// The parameters, in the order in which to write them.
    parameters: Vec<SsmParameter>,
}

/// An SSM parameter.
#[derive(Serialize, schemars::JsonSchema)]
struct SsmParameter {
    /// The name of the parameter.
    name: String,
    /// The value of the parameter.
    value: String,
}

pub(crate) fn document(context: &mut Context) -> Result<(), CliError> {
    let configuration = context.configuration()?;
    let stored =
        StoredDocument::new(&configuration.document.to_json()).map_err(DeployError::from)?;
    // The text output is a single value.
    if !stored.parts.is_empty() && !context.output.is_json() {
        let message = format!(
            "the configuration takes {} SSM parameters",
            stored.parts.len() + 1
        );
        return Err(CliError::new(Exit::Usage, message).hint("use `-o json` to print them all"));
    }
    let name = format!("/curfew/{}/configuration", configuration.stack.name);
    let parts = stored
        .parts
        .into_iter()
        .map(|(suffix, value)| SsmParameter {
            name: format!("{name}/{suffix}"),
            value,
        });
    let mut parameters: Vec<SsmParameter> = parts.collect();
    parameters.push(SsmParameter {
        name,
        value: stored.value,
    });
    let document = ParameterDocument { parameters };
    context.output.print(&document, |document| {
        let values = document.parameters.iter().map(|one| one.value.as_str());
        values.collect::<String>()
    })
}
