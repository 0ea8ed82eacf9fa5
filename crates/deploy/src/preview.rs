//! Previews a deployment (`--dry-run`).

use curfew_aws::connect::Connection;
use curfew_aws::progress::Progress;
use curfew_aws::rules::RuleChanges;
use serde::Serialize;

use super::bucket::Bucket;
use super::data_change::DataChange;
use super::deployment_plan::DeploymentPlan;
use super::json_forms;
use super::stack::StackChanges;
use super::{DeployError, Deployment, OverlapPolicy};

/// The changes that a deployment would make.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Preview {
    /// The Lambda's code.
    pub code: DataChange,
    /// The keys of older code in the bucket that would be removed.
    pub stale_code: Vec<String>,
    /// The Lambda's configuration.
    pub configuration: DataChange,
    /// The stack and its resources.
    pub stack: StackChanges,
    /// The rules that trigger the Lambda.
    pub rules: RuleChanges,
    /// Warnings for the operator, one sentence each.
    #[serde(serialize_with = "json_forms::sentences")]
    #[schemars(with = "Vec<json_forms::Remark<'static>>")]
    pub warnings: Vec<String>,
}

/// Returns what [`deploy`](super::deploy) would change, and uploads and changes nothing. If the stack is not up to date, creates a change
/// set and deletes it again, even if CloudFormation rejected it.
pub async fn preview(
    conn: &Connection,
    deployment: &Deployment,
    progress: &dyn Progress,
) -> Result<Preview, DeployError> {
    let plan = DeploymentPlan::new(conn, deployment, progress).await?;
    let rules = plan.rules.preview(&deployment.rules).await?;
    let document = &deployment.configuration_document;
    let (found, code) = plan.code().await?;
    let runs = plan.stack.code_key().await?;
    let stale_code = Bucket::stale(&plan.package, runs.as_deref(), &found);
    let mut warnings = rules.warnings;
    let overlaps = plan.overlaps.iter();
    warnings.extend(overlaps.map(|sentence| match deployment.overlap {
        OverlapPolicy::Refuse => {
            format!("{sentence}: `deploy` fails without --allow-overlap")
        }
        OverlapPolicy::Allow => format!("{sentence} as well"),
    }));
    Ok(Preview {
        code,
        stale_code,
        configuration: plan.configuration.compare(document).await?,
        stack: plan.stack.preview(&plan.parameters).await?,
        rules: rules.changes,
        warnings,
    })
}
