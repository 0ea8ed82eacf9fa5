//! Reads the state of a deployment for `curfew doctor`, and changes nothing.

use curfew_aws::connect::Connection;
use curfew_aws::endpoint_kind::EndpointKind;
use curfew_aws::error::CloudError;
use curfew_aws::rules::{RuleChanges, Rules, TriggerRule};
use curfew_core::deployed_document::have_same_content;
use curfew_core::stack_name::StackName;

use super::configuration::ConfigurationParameter;
use super::deployment_plan::load_package;
use super::lambda_package::{LambdaPackage, LambdaPackageError};
use super::outputs::read_outputs;
use super::queues::StackQueue;
use super::stack::{Stack, is_ours};
use super::{DeployError, event_bridge, stack_outputs};

/// Reads the state of a stack.
#[derive(Clone, Copy, Debug)]
pub struct DeployedState<'a> {
    conn: &'a Connection,
    stack: &'a StackName,
}

/// The status of a deployed stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeployedStack {
    /// CloudFormation's status, such as `UPDATE_COMPLETE`.
    pub status: String,
    /// The tool that deployed it.
    pub deployer: Deployer,
}

/// The tool that deployed a stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deployer {
    /// `curfew deploy`, recognised by the stack's tag.
    Curfew,
    /// Another tool, from the printed template (docs/how-to/other-tools.md).
    OtherTool,
}

impl<'a> DeployedState<'a> {
    /// Reads this stack over this connection.
    pub fn of(conn: &'a Connection, stack: &'a StackName) -> Self {
        Self { conn, stack }
    }

    /// Whether the connection leads to AWS and not to an emulator.
    pub fn is_aws(&self) -> bool {
        EndpointKind::of(self.conn).is_aws()
    }

    /// Returns the Lambda's code on this machine. Fails if it could not run where it would be deployed.
    pub async fn code(&self) -> Result<LambdaPackage, LambdaPackageError> {
        let package = load_package(None).await?;
        match EndpointKind::of(self.conn) {
            EndpointKind::Aws => package.check_for_lambda()?,
            EndpointKind::Emulator | EndpointKind::LocalEmulator => {
                package.check_for_this_machine()?;
            }
        }
        Ok(package)
    }

    /// Returns the stack's status; none if it does not exist. Fails if it belongs to another program: it has neither the tag of
    /// `curfew deploy` nor the outputs of the template.
    pub async fn stack(&self) -> Result<Option<DeployedStack>, DeployError> {
        let stack = Stack::new(self.conn, self.stack);
        let Some(description) = stack.describe().await? else {
            return Ok(None);
        };
        let deployer = if is_ours(&description, self.stack) {
            Deployer::Curfew
        } else if read_outputs(&description).is_ok() {
            Deployer::OtherTool
        } else {
            return Err(DeployError::ForeignStack {
                stack: self.stack.clone(),
            });
        };
        let status = description.stack_status;
        Ok(status.map(|status| DeployedStack {
            status: status.as_str().to_owned(),
            deployer,
        }))
    }

    /// Returns the changes that would make the rules equal to `wanted`.
    pub async fn rules(&self, wanted: &[TriggerRule]) -> Result<RuleChanges, DeployError> {
        let found = stack_outputs(self.conn, self.stack).await?;
        let client = event_bridge(self.conn);
        let rules = Rules::new(client, self.stack.clone(), found.function_arn);
        Ok(rules.preview(wanted).await?.changes)
    }

    /// Whether the Lambda's configuration has the content of `document`, whichever file published it.
    pub async fn has_configuration(&self, document: &str) -> Result<bool, CloudError> {
        let parameter = ConfigurationParameter::new(self.conn, self.stack);
        let deployed = parameter.read().await?.and_then(Result::ok);
        Ok(deployed.is_some_and(|deployed| have_same_content(&deployed, document)))
    }

    /// Returns a queue's URL, derived from the URL in the stack's outputs.
    pub async fn queue_url(&self, queue: StackQueue) -> Result<String, DeployError> {
        let found = stack_outputs(self.conn, self.stack).await?;
        let parent = found.queue_url.rsplit_once('/');
        let parent = parent.map_or("", |(parent, _)| parent);
        Ok(format!("{parent}/{}", queue.name(self.stack)))
    }
}
