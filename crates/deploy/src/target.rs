//! The account that a deployment goes to.

use aws_sdk_sts::Client as Sts;
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
        let operation = "sts:GetCallerIdentity";
        let identity = Sts::new(&conn.sdk)
            .get_caller_identity()
            .send()
            .await
            .map_err(|error| CloudError::from_sdk(operation, error))?;
        let partition = identity.arn().and_then(|arn| arn.split(':').nth(1));
        let (Some(id), Some(partition)) = (identity.account(), partition) else {
            let what = "the response has no account";
            return Err(CloudError::new(operation, CloudErrorKind::Service, what));
        };
        Ok(Self {
            id: id.to_owned(),
            partition: partition.to_owned(),
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
