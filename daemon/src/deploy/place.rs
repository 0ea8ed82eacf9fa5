//! Where a deployment goes: AWS or an emulator, and whose account.

use aws_sdk_sts::Client as Sts;
use curfew_aws::connect::Connection;
use curfew_aws::error::{CloudError, CloudErrorKind};
use curfew_aws::rules::StackName;

/// AWS itself, or something that speaks its language.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cloud {
    Aws,
    Emulator,
}

impl Cloud {
    pub(super) fn of(conn: &Connection) -> Self {
        Self::at(conn.endpoint())
    }

    /// AWS may be reached by an endpoint of one's own, in a private network; its name tells.
    pub(super) fn at(endpoint: Option<&str>) -> Self {
        let host = |url: &str| {
            let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
            rest.split([':', '/']).next().unwrap_or_default().to_owned()
        };
        let aws = [".amazonaws.com", ".amazonaws.com.cn", ".api.aws"];
        match endpoint.map(host) {
            Some(host) if !aws.iter().any(|domain| host.ends_with(domain)) => Self::Emulator,
            _ => Self::Aws,
        }
    }
}

/// Whose credentials these are.
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
