//! `curfew member-role`: the CloudFormation template of the role in member accounts.

use super::template::print;
use crate::{CliError, Context};

pub(crate) fn member_role(context: &mut Context) -> Result<(), CliError> {
    print(context, curfew_deploy::MEMBER_ROLE)
}
