//! Deploys Curfew into an account and region, reads its endpoints, and removes it. Every step compares before it writes: the next run
//! completes an interrupted one, and a second run writes nothing.

mod bucket;
mod caller_account;
mod configuration;
mod data_change;
mod deployed;
mod deployment_plan;
mod destroy;
mod error;
mod json_forms;
pub mod lambda_package;
mod lambda_role_policy;
mod other_stacks;
mod outputs;
pub mod preflight;
mod preview;
mod publish_schedules;
mod queues;
#[cfg(test)]
mod recorder;
mod removal_plan;
pub mod stack;
mod trigger_rules;

use std::path::PathBuf;

use curfew_aws::connect::Connection;
use curfew_aws::rules::{Rules, TriggerRule};
use curfew_core::stack_name::StackName;
use curfew_core::token::Tokens;

pub use self::data_change::DataChange;
pub use self::deployed::{DeployedStack, DeployedState, Deployer};
use self::deployment_plan::DeploymentPlan;
pub use self::destroy::destroy;
pub use self::error::DeployError;
pub use self::lambda_role_policy::LambdaRolePolicy;
pub use self::outputs::Outputs;
pub use self::preview::{Preview, preview};
pub use self::publish_schedules::{lost_schedules, publish_schedules};
pub use self::queues::{COUNT_INTERVAL, StackQueue, queue_does_not_exist};
pub use self::removal_plan::{InstanceTags, StackResources, stack_resources};
use self::stack::Stack;
pub use self::stack::TEMPLATE;
pub use self::trigger_rules::trigger_rules;
use curfew_aws::progress::Progress;

/// The CloudFormation template of the role in an account that Curfew manages from another account.
pub const MEMBER_ROLE: &str = include_str!("member-role.yaml");

/// What to deploy.
#[derive(Clone, Debug)]
pub struct Deployment {
    /// The stack's name: an account and region may have several deployments.
    pub stack: StackName,
    /// How callers of the API are authenticated.
    pub auth: Auth,
    /// The one other origin that may call the API (CORS).
    pub cors_origin: Option<String>,
    /// How many instances a request may change unless it sets `all`.
    pub request_limit: usize,
    /// The schedules that the Lambda reads, as JSON.
    pub configuration_document: String,
    /// The rules that trigger the Lambda at the schedules' edges and at the heartbeat.
    pub rules: Vec<TriggerRule>,
    /// The instances that the Lambda's IAM policy covers.
    pub lambda_role_policy: LambdaRolePolicy,
    /// The ARN of the permissions boundary of the Lambda's role.
    pub permissions_boundary: Option<String>,
    /// The path of the Lambda's code; if none, it is [searched](lambda_package::LambdaPackage::find).
    pub lambda_zip: Option<PathBuf>,
    /// What to do if another deployment manages some of the same accounts and regions.
    pub overlap: OverlapPolicy,
}

/// What to do if another deployment manages some of the same accounts and regions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OverlapPolicy {
    /// Fail with [`DeployError::Overlap`].
    Refuse,
    /// Deploy and report the overlap (`--allow-overlap`).
    Allow,
}

/// How callers of the API are authenticated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Auth {
    /// No authentication, for emulators only.
    None,
    /// One of these tokens, of which only the digests are deployed.
    Token(Tokens),
    /// IAM: API Gateway verifies AWS signatures.
    Iam,
}

/// The tag that marks a stack as Curfew's; its resources inherit it.
const STACK_TAG: &str = "curfew:stack";

/// The maximum length of a CloudFormation parameter's value.
const MAX_PARAMETER_LENGTH: usize = 4096;

/// Creates or updates a deployment.
pub async fn deploy(
    conn: &Connection,
    deployment: &Deployment,
    progress: &dyn Progress,
) -> Result<Outputs, DeployError> {
    progress.begin(&format!("Deploying `{}`", deployment.stack));
    let plan = DeploymentPlan::new(conn, deployment, progress).await?;
    plan.deploy(progress).await
}

/// Returns the endpoints and names of a deployment. Fails if it does not exist or is incomplete.
pub async fn outputs(conn: &Connection, stack: &StackName) -> Result<Outputs, DeployError> {
    let found = stack_outputs(conn, stack).await?;
    let client = event_bridge(conn);
    let rules = Rules::new(client, stack.clone(), &found.function_arn);
    let names = rules.names().await?;
    Ok(found.with_rules(conn, names))
}

/// Returns an EventBridge client that counts its calls among the connection's.
fn event_bridge(conn: &Connection) -> aws_sdk_eventbridge::Client {
    let config = aws_sdk_eventbridge::config::Builder::from(&conn.sdk);
    let config = config.interceptor(conn.calls.clone());
    aws_sdk_eventbridge::Client::from_conf(config.build())
}

async fn stack_outputs(
    conn: &Connection,
    stack: &StackName,
) -> Result<outputs::StackOutputs, DeployError> {
    let description = Stack::new(conn, stack).describe().await?;
    let description = description.ok_or_else(|| DeployError::NotDeployed {
        stack: stack.clone(),
    })?;
    outputs::read_outputs(&description).map_err(|output| DeployError::Incomplete {
        stack: stack.clone(),
        output,
    })
}
