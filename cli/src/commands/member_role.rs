//! `curfew member-role`: the template for the role in another account that Curfew manages.

use crate::{CliError, Context};

pub(crate) fn member_role(context: &mut Context) -> Result<(), CliError> {
    context.output.raw(curfew_deploy::MEMBER_ROLE.as_bytes())
}
