//! `curfew template`: the stack's CloudFormation template.

use serde::Serialize;

use crate::{CliError, Context};

/// A CloudFormation template.
#[derive(Serialize, schemars::JsonSchema)]
pub(crate) struct TemplateDocument {
    /// The text of the template, which is YAML.
    template: &'static str,
}

pub(crate) fn template(context: &mut Context) -> Result<(), CliError> {
    print(context, curfew_deploy::TEMPLATE)
}

/// Prints a template as it is, or with `-o json` as the text in an object.
pub(super) fn print(context: &Context, template: &'static str) -> Result<(), CliError> {
    if context.output.is_json() {
        let document = TemplateDocument { template };
        return context.output.print(&document, |it| it.template.to_owned());
    }
    context.output.raw(template.as_bytes())
}
