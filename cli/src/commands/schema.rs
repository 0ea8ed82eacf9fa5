//! `curfew schema`: the JSON schema of the configuration file.

use crate::{CliError, Context};

pub(crate) fn schema(context: &mut Context) -> Result<(), CliError> {
    context.output.raw(curfew_config::schema().as_bytes())
}
