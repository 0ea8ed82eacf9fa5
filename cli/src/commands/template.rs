//! `curfew template`: the stack's CloudFormation template.

use crate::{CliError, Context};

pub(crate) fn template(context: &mut Context) -> Result<(), CliError> {
    context.output.raw(curfew_deploy::TEMPLATE.as_bytes())
}
