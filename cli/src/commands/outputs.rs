//! `curfew outputs`.

use crate::stack;
use crate::{CliError, Context};

pub(crate) async fn outputs(context: &mut Context) -> Result<(), CliError> {
    let settings = context.settings()?;
    let connection = context.connect(&settings).await?;
    let outputs = curfew_deploy::outputs(&connection, &settings.stack.name).await?;
    context.output.print(&outputs, stack::outputs)
}
