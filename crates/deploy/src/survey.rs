//! What is deployed, looked at and left as it is: for `curfew doctor`.

use curfew_aws::connect::Connection;
use curfew_aws::endpoint_kind::EndpointKind;
use curfew_aws::error::CloudError;
use curfew_aws::rules::{RuleChanges, Rules, TriggerRule};
use curfew_core::stack_name::StackName;

use curfew_core::published::have_same_content;

use super::artifact::{Artifact, ArtifactError};
use super::configuration::ConfigurationParameter;
use super::outputs::of_stack;
use super::prepared::load;
use super::queues::StackQueue;
use super::stack::{Stack, is_ours};
use super::{DeployError, event_bridge, stack_outputs};

/// A stack that is looked at.
#[derive(Clone, Copy, Debug)]
pub struct Survey<'a> {
    conn: &'a Connection,
    stack: &'a StackName,
}

/// How a stack is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// CloudFormation's word for its state.
    pub status: String,
    /// Which tool changes it.
    pub deployer: Deployer,
}

/// Which tool deployed a stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deployer {
    /// `curfew deploy`, by the stack's tag.
    Curfew,
    /// Another one, from the printed template: docs/cloudformation.md.
    OtherTool,
}

impl<'a> Survey<'a> {
    /// Of this stack, over this connection.
    pub fn of(conn: &'a Connection, stack: &'a StackName) -> Self {
        Self { conn, stack }
    }

    /// Whether this is AWS itself.
    pub fn is_aws(&self) -> bool {
        EndpointKind::of(self.conn).is_aws()
    }

    /// The Lambda's code on this machine, if it can run where it would be deployed.
    pub async fn code(&self) -> Result<Artifact, ArtifactError> {
        let artifact = load(None).await?;
        match EndpointKind::of(self.conn) {
            EndpointKind::Aws => artifact.check_for_lambda()?,
            EndpointKind::Emulator | EndpointKind::LocalEmulator => {
                artifact.check_for_this_machine()?;
            }
        }
        Ok(artifact)
    }

    /// How the stack is; none, if there is no such stack. Refuses one that is another program's: it lacks the tag of `curfew deploy`
    /// and the outputs of the template.
    pub async fn standing(&self) -> Result<Option<Standing>, DeployError> {
        let stack = Stack::new(self.conn, self.stack);
        let Some(description) = stack.describe().await? else {
            return Ok(None);
        };
        let deployer = if is_ours(&description, self.stack) {
            Deployer::Curfew
        } else if of_stack(&description).is_ok() {
            Deployer::OtherTool
        } else {
            return Err(DeployError::ForeignStack {
                stack: self.stack.clone(),
            });
        };
        let status = description.stack_status;
        Ok(status.map(|status| Standing {
            status: status.as_str().to_owned(),
            deployer,
        }))
    }

    /// What would bring the rules in step with `wanted`.
    pub async fn rules(&self, wanted: &[TriggerRule]) -> Result<RuleChanges, DeployError> {
        let found = stack_outputs(self.conn, self.stack).await?;
        let client = event_bridge(self.conn);
        let rules = Rules::new(client, self.stack.clone(), found.function_arn);
        Ok(rules.preview(wanted).await?.changes)
    }

    /// Whether the Lambda's configuration is just these, whichever file they were published from.
    pub async fn has_configuration(&self, document: &str) -> Result<bool, CloudError> {
        let parameter = ConfigurationParameter::new(self.conn, self.stack);
        let deployed = parameter.read().await?.and_then(Result::ok);
        Ok(deployed.is_some_and(|deployed| have_same_content(&deployed, document)))
    }

    /// A queue's address, from the one that the stack tells.
    pub async fn queue_url(&self, queue: StackQueue) -> Result<String, DeployError> {
        let found = stack_outputs(self.conn, self.stack).await?;
        let outputs = found.with_rules(self.conn, Vec::new());
        let place = outputs.queue_url.rsplit_once('/');
        let place = place.map_or("", |(place, _)| place);
        Ok(format!("{place}/{}", queue.name(self.stack)))
    }
}
