//! The errors of a deployment, and hints for the operator.

use curfew_aws::configuration_document::DocumentTooLarge;
use curfew_aws::error::CloudError;
use curfew_core::configuration::DocumentVersion;
use curfew_core::deployed_document::LostSchedules;
use curfew_core::stack_name::StackName;

use super::lambda_package::LambdaPackageError;
use super::{MAX_PARAMETER_LENGTH, STACK_TAG};

/// Why a deployment, a preview or a removal failed.
#[derive(Debug, thiserror::Error)]
pub enum DeployError {
    /// An AWS call failed.
    #[error(transparent)]
    Cloud(#[from] CloudError),
    /// The Lambda's code is missing or unusable.
    #[error(transparent)]
    LambdaPackage(#[from] LambdaPackageError),
    /// The API would have no authentication on AWS, where the whole internet could stop the fleet.
    #[error("the API of `{stack}` would be public, because `[api] auth` is \"none\"")]
    UnauthenticatedApi {
        /// The name of the stack.
        stack: StackName,
    },
    /// The configuration document exceeds its maximum size.
    #[error(transparent)]
    ConfigurationTooLarge(#[from] DocumentTooLarge),
    /// The IAM policy exceeds CloudFormation's limit for a parameter.
    #[error(
        "the policy for the instances that the schedules match takes {size} bytes, {} more than CloudFormation's {MAX_PARAMETER_LENGTH}",
        .size - MAX_PARAMETER_LENGTH
    )]
    PolicyTooLarge {
        /// The size of the policy, in bytes.
        size: usize,
    },
    /// Publishing would drop schedules of another file, which needs confirmation.
    #[error("`{stack}` keeps what is deployed: this configuration would drop {loss}")]
    WouldDrop {
        /// The name of the stack.
        stack: StackName,
        /// The schedules that would be dropped.
        loss: LostSchedules,
    },
    /// An `[[account]]` is the deployment's own account.
    #[error("`[[account]]` names {account}, which is the account that is deployed into")]
    OwnAccount {
        /// The account's id.
        account: String,
    },
    /// The bucket's name is in use by another program.
    #[error("the bucket `{bucket}` is not Curfew's: it has no tag `{STACK_TAG}` and holds {holds}")]
    ForeignBucket {
        /// The bucket's name.
        bucket: String,
        /// The objects that no deployment made, as a phrase.
        holds: String,
    },
    /// Another deployment manages some of the same accounts and regions.
    #[error("`{stack}` would manage what another deployment manages already: {}", .others.join("; "))]
    Overlap {
        /// The name of the stack.
        stack: StackName,
        /// The other stacks and what they manage, one sentence each.
        others: Vec<String>,
    },
    /// The deployed code is too old for the configuration document.
    #[error(
        "the deployed code of `{stack}` reads configuration of version {}.x, and this one is of version {document}",
        .reads.major
    )]
    CodeTooOld {
        /// The name of the stack.
        stack: StackName,
        /// The newest version that the deployed code reads.
        reads: DocumentVersion,
        /// The version of the document.
        document: DocumentVersion,
    },
    /// The stack's name is in use by another program.
    #[error("the CloudFormation stack `{stack}` exists and is not Curfew's")]
    ForeignStack {
        /// The name of the stack.
        stack: StackName,
    },
    /// CloudFormation could not roll back an update, at two attempts.
    #[error(
        "the CloudFormation stack `{stack}` is in UPDATE_ROLLBACK_FAILED: CloudFormation could not roll back an update, and the retry failed too{}",
        reasons(.failures)
    )]
    RollbackFailed {
        /// The name of the stack.
        stack: StackName,
        /// The failed resources and their reasons.
        failures: Vec<String>,
    },
    /// A concurrent deployment was in progress at every attempt.
    #[error("concurrent deployments of `{stack}` were in progress at every attempt")]
    ConcurrentDeployments {
        /// The name of the stack.
        stack: StackName,
    },
    /// CloudFormation did not finish in time.
    #[error("the CloudFormation stack `{stack}` is not done after {minutes} minutes")]
    TimedOut {
        /// The name of the stack.
        stack: StackName,
        /// The time limit, in minutes.
        minutes: u64,
    },
    /// The stack can't be previewed in its current status.
    #[error("the CloudFormation stack `{stack}` is in {status}, so the changes can't be previewed")]
    StackInProgress {
        /// The name of the stack.
        stack: StackName,
        /// CloudFormation's status of the stack.
        status: String,
    },
    /// CloudFormation rejected the template or its parameters.
    #[error("CloudFormation could not create a change set for the stack `{stack}`: {reason}")]
    ChangeSet {
        /// The name of the stack.
        stack: StackName,
        /// The reason that CloudFormation returned.
        reason: String,
    },
    /// A resource could not be created, changed or removed.
    #[error("the stack `{stack}` ended in {status}{}", reasons(.failures))]
    Failed {
        /// The name of the stack.
        stack: StackName,
        /// CloudFormation's status of the stack.
        status: String,
        /// The failed resources and their reasons.
        failures: Vec<String>,
    },
    /// The stack lacks an output.
    #[error("the stack `{stack}` is incomplete: it has no output `{output}`")]
    Incomplete {
        /// The name of the stack.
        stack: StackName,
        /// The name of the missing output.
        output: &'static str,
    },
    /// The stack exists, but its function does not.
    #[error("the function `{function}` of the stack `{stack}` is gone")]
    FunctionMissing {
        /// The name of the stack.
        stack: StackName,
        /// The function's name.
        function: String,
    },
    /// The stack does not exist.
    #[error("the stack `{stack}` is not deployed here")]
    NotDeployed {
        /// The name of the stack.
        stack: StackName,
    },
}

impl DeployError {
    /// Returns what the operator can do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Cloud(error) => error.hint(),
            Self::LambdaPackage(error) => error.hint(),
            Self::UnauthenticatedApi { .. } => "set `[api] auth` to \"token\" or \"iam\"",
            Self::ConfigurationTooLarge(_) => {
                "split the schedules over two stacks, or shorten lists of dates and ids"
            }
            Self::PolicyTooLarge { .. } => {
                "manage instances by their tag rather than by long `match` tables"
            }
            Self::WouldDrop { .. } => {
                "to drop them, run `curfew deploy` with this file and confirm; otherwise pass the file that has them"
            }
            Self::OwnAccount { .. } => {
                "name its regions in `[managing] regions` and take it out; or deploy with the credentials of the intended account"
            }
            Self::ForeignBucket { .. } => {
                "move these objects elsewhere, or choose another name in `[stack] name`"
            }
            Self::Overlap { .. } => {
                "name other regions or accounts, or remove the other stack; if the two match different instances by tag, pass --allow-overlap"
            }
            Self::CodeTooOld { .. } => {
                "`curfew deploy` updates the code, and then the configuration"
            }
            Self::ForeignStack { .. } => "choose another name in `[stack] name`",
            Self::RollbackFailed { .. } => {
                "fix the cause that the reason names, and deploy again; or continue the rollback in the CloudFormation console, skipping that resource; or `curfew destroy`"
            }
            Self::ConcurrentDeployments { .. } => "wait until it has ended, and deploy again",
            Self::TimedOut { .. } => {
                "its events in the CloudFormation console show what it waits for; once it has ended, run `curfew deploy` again"
            }
            Self::StackInProgress { .. } => {
                "wait until it has ended, or run `curfew deploy`, which recovers the stack"
            }
            Self::ChangeSet { .. } | Self::Failed { .. } => {
                "fix what the reason names, and run `curfew deploy` again"
            }
            Self::FunctionMissing { .. } => {
                "run `curfew destroy --keep-tags` and `curfew deploy`: CloudFormation does not recreate a single resource"
            }
            Self::Incomplete { .. } | Self::NotDeployed { .. } => {
                "run `curfew deploy`, or check the endpoint, the region and the account"
            }
        }
    }
}

fn reasons(failures: &[String]) -> String {
    if failures.is_empty() {
        String::new()
    } else {
        format!(": {}", failures.join("; "))
    }
}
