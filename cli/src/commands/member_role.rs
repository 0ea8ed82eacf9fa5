//! `curfew member-role`: the CloudFormation template of the role in member accounts.

use crate::{CliError, Context};

pub(crate) fn member_role(context: &mut Context) -> Result<(), CliError> {
    context.output.raw(curfew_deploy::MEMBER_ROLE.as_bytes())
}
