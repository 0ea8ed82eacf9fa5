//! What can go wrong with a deployment, and what a person can do about it.

use curfew_aws::configuration_document::DocumentTooLarge;
use curfew_aws::error::CloudError;
use curfew_core::configuration::DocumentVersion;
use curfew_core::published::LostSchedules;
use curfew_core::stack_name::StackName;

use super::artifact::ArtifactError;
use super::{LONGEST_PARAMETER, MARK};

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum DeployError {
    /// A call failed.
    #[error(transparent)]
    Cloud(#[from] CloudError),
    /// There is no code to deploy.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    /// On AWS an API without authentication would let anyone on the internet stop the fleet.
    #[error("the API of `{stack}` would be open to everybody, because its `auth` is `none`")]
    Open {
        /// The stack.
        stack: StackName,
    },
    /// The configuration doesn't fit.
    #[error(transparent)]
    ConfigurationTooLarge(#[from] DocumentTooLarge),
    /// The policy doesn't fit.
    #[error(
        "the policy for the instances that the schedules match takes {size} bytes, {} more than CloudFormation's {LONGEST_PARAMETER}",
        .size - LONGEST_PARAMETER
    )]
    ReachTooLarge {
        /// Its size.
        size: usize,
    },
    /// A daemon drops no schedules that a person may still want.
    #[error("`{stack}` keeps what is deployed: this configuration would drop {loss}")]
    WouldDrop {
        /// The stack.
        stack: StackName,
        /// What would go.
        loss: LostSchedules,
    },
    /// Its instances would be managed twice.
    #[error("`[[account]]` names {account}, which is the account that is deployed into")]
    OwnAccount {
        /// Its id.
        account: String,
    },
    /// The bucket's name is taken.
    #[error("the bucket `{bucket}` is not Curfew's: it has no tag `{MARK}` and holds {holds}")]
    ForeignBucket {
        /// The bucket.
        bucket: String,
        /// What no deployment can have put there, in words.
        holds: String,
    },
    /// Two deployments would decide over the same instances.
    #[error("`{stack}` would manage what another deployment manages already: {}", .others.join("; "))]
    Shared {
        /// The stack.
        stack: StackName,
        /// The other stacks, with where they are and what they share with it, one sentence each.
        others: Vec<String>,
    },
    /// The configuration is newer than the code that would read them.
    #[error(
        "the deployed code of `{stack}` reads configuration of version {}.x, and this one is of version {document}",
        .reads.major
    )]
    OldCode {
        /// The stack.
        stack: StackName,
        /// What the deployed code reads.
        reads: DocumentVersion,
        /// What was to be published.
        document: DocumentVersion,
    },
    /// The name is taken.
    #[error("the CloudFormation stack `{stack}` is there and is not Curfew's")]
    ForeignStack {
        /// The stack.
        stack: StackName,
    },
    /// Only a person can help.
    #[error(
        "the CloudFormation stack `{stack}` is in UPDATE_ROLLBACK_FAILED: CloudFormation could not undo an update, and not at a second try either{}",
        reasons(.failures)
    )]
    StuckStack {
        /// The stack.
        stack: StackName,
        /// What failed, with the reason.
        failures: Vec<String>,
    },
    /// Concurrent deployments won every attempt.
    #[error("another deployment of `{stack}` came first, again and again")]
    Contended {
        /// The stack.
        stack: StackName,
    },
    /// CloudFormation goes on and on.
    #[error("the CloudFormation stack `{stack}` is not done after {minutes} minutes")]
    TooSlow {
        /// The stack.
        stack: StackName,
        /// For how long it was waited for.
        minutes: u64,
    },
    /// It can't be previewed now.
    #[error(
        "the CloudFormation stack `{stack}` is in {status}, so what would change can't be told"
    )]
    Unsettled {
        /// The stack.
        stack: StackName,
        /// Its status.
        status: String,
    },
    /// CloudFormation doesn't take the template.
    #[error("CloudFormation could not make a change set for the stack `{stack}`: {reason}")]
    ChangeSet {
        /// The stack.
        stack: StackName,
        /// Its words.
        reason: String,
    },
    /// A resource could not be made, changed or removed.
    #[error("the stack `{stack}` ended in {status}{}", reasons(.failures))]
    Failed {
        /// The stack.
        stack: StackName,
        /// Its status.
        status: String,
        /// What failed, with the reason.
        failures: Vec<String>,
    },
    /// The stack is there, but not all of it.
    #[error("the stack `{stack}` is not whole: it has no output `{output}`")]
    Incomplete {
        /// The stack.
        stack: StackName,
        /// What is missing.
        output: &'static str,
    },
    /// The stack is there, and its function is not.
    #[error("the function `{function}` of the stack `{stack}` is gone")]
    NoFunction {
        /// The stack.
        stack: StackName,
        /// The function.
        function: String,
    },
    /// There is nothing.
    #[error("the stack `{stack}` is not deployed here")]
    NotDeployed {
        /// The stack.
        stack: StackName,
    },
}

impl DeployError {
    /// What a person can do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Cloud(error) => error.hint(),
            Self::Artifact(error) => error.hint(),
            Self::Open { .. } => "set `[api] auth` to \"token\" or \"iam\"",
            Self::ConfigurationTooLarge(_) => {
                "split the schedules over two stacks, or shorten lists of dates and ids"
            }
            Self::ReachTooLarge { .. } => {
                "manage instances by their tag rather than by long `match` tables"
            }
            Self::WouldDrop { .. } => {
                "if they are to go, `curfew deploy` with this file shows it and asks; otherwise name the file that has them"
            }
            Self::OwnAccount { .. } => {
                "name its regions in `[managing] regions` and take it out; or deploy with the credentials of the account that is meant"
            }
            Self::ForeignBucket { .. } => {
                "move these objects elsewhere, or choose another name in `[stack] name`"
            }
            Self::Shared { .. } => {
                "name other regions or accounts, or remove the other stack; where the two take different instances by tag, say --allow-overlap"
            }
            Self::OldCode { .. } => {
                "`curfew deploy` brings the code up to date, and then the configuration"
            }
            Self::ForeignStack { .. } => "choose another name in `[stack] name`",
            Self::StuckStack { .. } => {
                "put right what the reason names, and deploy again; or continue the rollback in the CloudFormation console, skipping that resource; or `curfew destroy`"
            }
            Self::Contended { .. } => "let it end, and deploy again",
            Self::TooSlow { .. } => {
                "its events in the CloudFormation console say what it waits for; once it has ended, `curfew deploy` goes on from there"
            }
            Self::Unsettled { .. } => {
                "wait until it has ended, or `curfew deploy`, which handles it"
            }
            Self::ChangeSet { .. } | Self::Failed { .. } => {
                "the reason names what AWS did not accept; `curfew deploy` tries again from where it is"
            }
            Self::NoFunction { .. } => {
                "`curfew destroy --keep-tags`, and `curfew deploy` again: CloudFormation does not make one resource anew"
            }
            Self::Incomplete { .. } | Self::NotDeployed { .. } => {
                "`curfew deploy`; or check the endpoint, the region and the account"
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
