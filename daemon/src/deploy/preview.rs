//! What deploying would change.

use curfew_aws::connect::Connection;
use curfew_aws::rules::RuleChanges;
use serde::Serialize;

use super::prepared::Prepared;
use super::stack::StackChanges;
use super::{DeployError, Deployment};
use crate::progress::Progress;

/// What deploying would change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Preview {
    /// Whether new code would be uploaded.
    pub code: bool,
    /// Whether the schedules that the Lambda knows would change.
    pub settings: bool,
    /// The stack, with its resources.
    pub stack: StackChanges,
    /// The rules.
    pub rules: RuleChanges,
    /// What a person should know, one sentence each.
    pub warnings: Vec<String>,
}

/// What [`deploy`](super::deploy) would change. Nothing is uploaded or changed. CloudFormation is asked by a change set, if the stack
/// is not as it should be; that is taken back, also where it was refused.
pub async fn preview(
    conn: &Connection,
    deployment: &Deployment,
    progress: &dyn Progress,
) -> Result<Preview, DeployError> {
    let prepared = Prepared::new(conn, deployment, progress).await?;
    let rules = prepared.rules.preview(&deployment.rules).await?;
    let document = &deployment.settings_document;
    Ok(Preview {
        code: !prepared.bucket.holds(&prepared.artifact).await?,
        settings: !prepared.settings.holds(document).await?,
        stack: prepared.stack.preview(&prepared.parameters).await?,
        rules: rules.changes,
        warnings: rules.warnings,
    })
}
