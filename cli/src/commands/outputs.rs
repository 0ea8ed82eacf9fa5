//! `curfew outputs`.

use crate::stack;
use crate::{CliError, Context};

pub(crate) async fn outputs(context: &mut Context) -> Result<(), CliError> {
    let configuration = context.configuration()?;
    let connection = context.connect(&configuration).await?;
    let outputs = curfew_deploy::outputs(&connection, &configuration.stack.name).await?;
    context.output.print(&outputs, stack::outputs)
}
