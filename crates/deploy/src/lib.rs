//! Putting Curfew into an account and region, saying how it is reached there, and taking it out again. Every step looks before it
//! writes: what is interrupted is completed by the next run, and a second run writes nothing.

pub mod artifact;
mod bucket;
mod configuration;
mod data_change;
mod destroy;
mod error;
pub mod guard;
mod outputs;
mod overlap;
mod place;
mod prepared;
mod preview;
mod publish;
mod queues;
mod reach;
#[cfg(test)]
mod recorder;
mod rules;
pub mod stack;
mod survey;

use std::path::PathBuf;

use curfew_aws::connect::Connection;
use curfew_aws::rules::{Rules, TriggerRule};
use curfew_core::stack_name::StackName;
use curfew_core::token::Tokens;

pub use self::data_change::DataChange;
pub use self::destroy::{Belongings, InstanceTags, belongings, destroy};
pub use self::error::DeployError;
pub use self::outputs::Outputs;
use self::prepared::Prepared;
pub use self::preview::{Preview, preview};
pub use self::publish::{loss, publish};
pub use self::queues::{COUNT_INTERVAL, StackQueue, is_no_queue};
pub use self::reach::Reach;
pub use self::rules::trigger_rules;
use self::stack::Stack;
pub use self::stack::TEMPLATE;
pub use self::survey::{Deployer, Standing, Survey};
use curfew_aws::progress::Progress;

/// A CloudFormation template for the role in an account that Curfew manages from another.
pub const MEMBER_ROLE: &str = include_str!("member-role.yaml");

/// What to deploy.
#[derive(Clone, Debug)]
pub struct Deployment {
    /// Which of the account's and region's deployments this is.
    pub stack: StackName,
    /// How callers of the API are authenticated.
    pub auth: Auth,
    /// The one other origin allowed to call it (CORS).
    pub cors_origin: Option<String>,
    /// How many instances one request may change that does not say all.
    pub request_limit: usize,
    /// What the Lambda reads: the schedules, as JSON.
    pub configuration_document: String,
    /// The rules that wake the Lambda: at the schedules' edges, and the heartbeat.
    pub rules: Vec<TriggerRule>,
    /// Which instances the Lambda may act on.
    pub reach: Reach,
    /// The ARN of the policy that bounds what the Lambda's role may do.
    pub permissions_boundary: Option<String>,
    /// The Lambda's code; otherwise it is looked for.
    pub lambda_zip: Option<PathBuf>,
    /// What becomes of it where another deployment manages the same accounts and regions.
    pub overlap: Overlap,
}

/// What becomes of a deployment that would manage accounts and regions which another one manages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overlap {
    /// It is refused.
    Refused,
    /// A person has said that both are meant: it is only told.
    Allowed,
}

/// How callers of the API are authenticated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Auth {
    /// Not at all: only for an emulator.
    None,
    /// By one of these tokens, of which only the digests are deployed.
    Token(Tokens),
    /// By IAM: API Gateway verifies AWS signatures.
    Iam,
}

/// The tag that says that a stack is Curfew's; every resource inherits it.
const MARK: &str = "curfew:stack";

/// A parameter's longest value.
const LONGEST_PARAMETER: usize = 4096;

/// Deploys, or brings what is deployed up to date.
pub async fn deploy(
    conn: &Connection,
    deployment: &Deployment,
    progress: &dyn Progress,
) -> Result<Outputs, DeployError> {
    progress.begin(&format!("Deploying `{}`", deployment.stack));
    let prepared = Prepared::new(conn, deployment, progress).await?;
    prepared.deploy(progress).await
}

/// How what is deployed is reached.
pub async fn outputs(conn: &Connection, stack: &StackName) -> Result<Outputs, DeployError> {
    let found = stack_outputs(conn, stack).await?;
    let client = event_bridge(conn);
    let rules = Rules::new(client, stack.clone(), &found.function_arn);
    let names = rules.names().await?;
    Ok(found.with_rules(conn, names))
}

/// A client of EventBridge that counts its calls among the connection's.
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
    outputs::of_stack(&description).map_err(|output| DeployError::Incomplete {
        stack: stack.clone(),
        output,
    })
}
