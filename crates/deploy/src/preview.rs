//! What deploying would change.

use curfew_aws::connect::Connection;
use curfew_aws::progress::Progress;
use curfew_aws::rules::RuleChanges;
use serde::Serialize;

use super::bucket::Bucket;
use super::data_change::DataChange;
use super::prepared::Prepared;
use super::stack::StackChanges;
use super::{DeployError, Deployment, Overlap};

/// What deploying would change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Preview {
    /// The Lambda's code.
    pub code: DataChange,
    /// The keys of older code in the bucket, which would go.
    pub stale_code: Vec<String>,
    /// The schedules that the Lambda knows.
    pub configuration: DataChange,
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
    let document = &deployment.configuration_document;
    let (found, code) = prepared.code().await?;
    let runs = prepared.stack.code_key().await?;
    let stale_code = Bucket::stale(&prepared.artifact, runs.as_deref(), &found);
    let mut warnings = rules.warnings;
    let shared = prepared.shared.iter();
    warnings.extend(shared.map(|sentence| match deployment.overlap {
        Overlap::Refused => {
            format!("{sentence}: `deploy` would refuse that without --allow-overlap")
        }
        Overlap::Allowed => format!("{sentence} as well"),
    }));
    Ok(Preview {
        code,
        stale_code,
        configuration: prepared.configuration.compare(document).await?,
        stack: prepared.stack.preview(&prepared.parameters).await?,
        rules: rules.changes,
        warnings,
    })
}
