//! The account that a deployment goes to.

use curfew_aws::caller_identity::caller_identity;
use curfew_aws::connect::Connection;
use curfew_aws::error::{CloudError, CloudErrorKind};
use curfew_core::stack_name::StackName;

/// The account of the connection's credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CallerAccount {
    pub(super) id: String,
    /// `aws`, `aws-cn` or `aws-us-gov`.
    pub(super) partition: String,
}

impl CallerAccount {
    pub(super) async fn of(conn: &Connection) -> Result<Self, CloudError> {
        let caller = caller_identity(conn).await.caller?;
        let partition = caller.partition().map(str::to_owned).ok_or_else(|| {
            let what = "the response has no account";
            CloudError::new("sts:GetCallerIdentity", CloudErrorKind::Service, what)
        })?;
        Ok(Self {
            id: caller.account,
            partition,
        })
    }

    /// Returns the ARN of the stack's Lambda, whether or not it exists.
    pub(super) fn function_arn(&self, conn: &Connection, stack: &StackName) -> String {
        format!(
            "arn:{}:lambda:{}:{}:function:{}",
            self.partition,
            conn.region(),
            self.id,
            stack.prefix()
        )
    }
}
