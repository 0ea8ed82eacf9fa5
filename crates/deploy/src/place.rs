//! The account and region of a deployment.

use aws_sdk_sts::Client as Sts;
use curfew_aws::connect::Connection;
use curfew_aws::error::{CloudError, CloudErrorKind};
use curfew_core::stack_name::StackName;

/// The identity of a set of credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) id: String,
    /// `aws`, `aws-cn` or `aws-us-gov`.
    pub(super) partition: String,
}

impl Account {
    pub(super) async fn of(conn: &Connection) -> Result<Self, CloudError> {
        let operation = "sts:GetCallerIdentity";
        let identity = Sts::new(&conn.sdk)
            .get_caller_identity()
            .send()
            .await
            .map_err(|error| CloudError::from_sdk(operation, error))?;
        let partition = identity.arn().and_then(|arn| arn.split(':').nth(1));
        let (Some(id), Some(partition)) = (identity.account(), partition) else {
            let what = "the answer names no account";
            return Err(CloudError::new(operation, CloudErrorKind::Service, what));
        };
        Ok(Self {
            id: id.to_owned(),
            partition: partition.to_owned(),
        })
    }

    /// The Lambda's, also while there is none.
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
