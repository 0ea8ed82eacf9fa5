//! `curfew document`: the configuration as the Lambda reads it, for those who deploy by other means (docs/cloudformation.md). Calls nothing.

use curfew_aws::document::Stored;
use curfew_deploy::DeployError;
use serde::Serialize;

use crate::{CliError, Context, Exit};

/// The SSM parameters that the Lambda reads, in the order in which they are to be written. As JSON it is a contract with scripts.
#[derive(Serialize)]
struct Document {
    parameters: Vec<Parameter>,
}

#[derive(Serialize)]
struct Parameter {
    name: String,
    value: String,
}

pub(crate) fn document(context: &mut Context) -> Result<(), CliError> {
    let configuration = context.configuration()?;
    let stored = Stored::new(&configuration.document.to_json()).map_err(DeployError::from)?;
    // As text there is room for one value alone.
    if !stored.parts.is_empty() && !context.output.is_json() {
        let message = format!(
            "the configuration takes {} SSM parameters",
            stored.parts.len() + 1
        );
        return Err(CliError::new(Exit::Usage, message).hint("`-o json` prints them all"));
    }
    let name = format!("/curfew/{}/configuration", configuration.stack.name);
    let parts = stored.parts.into_iter().map(|(suffix, value)| Parameter {
        name: format!("{name}/{suffix}"),
        value,
    });
    let mut parameters: Vec<Parameter> = parts.collect();
    parameters.push(Parameter {
        name,
        value: stored.value,
    });
    let document = Document { parameters };
    context.output.print(&document, |document| {
        let values = document.parameters.iter().map(|one| one.value.as_str());
        values.collect()
    })
}
