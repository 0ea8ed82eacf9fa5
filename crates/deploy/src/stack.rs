//! The CloudFormation stack: updates it from any state, and removes it.

mod change_set;
mod stack_changes;
mod stack_events;
mod status;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_cloudformation::Client;
use aws_sdk_cloudformation::config::Builder;
use aws_sdk_cloudformation::types::{ChangeSetType, Stack as Description, TemplateStage};
use curfew_aws::connect::Connection;
use curfew_aws::endpoint_kind::EndpointKind;
use curfew_aws::error::CloudError;
use curfew_aws::pages::PageTokens;
use curfew_core::stack_name::StackName;
use tokio::time::sleep;

use self::change_set::is_conflict;
pub use self::stack_changes::{
    Intent, ParameterChange, ResourceAction, ResourceChange, StackChanges,
};
use self::stack_events::EventCursor;
pub(super) use self::status::is_ours;
use self::status::{StackState, id, status};
use super::{DeployError, STACK_TAG};
use curfew_aws::progress::Progress;

/// The CloudFormation template of the stack.
pub const TEMPLATE: &str = include_str!("stack.yaml");

/// The template's parameters, by name.
pub(super) type Parameters = BTreeMap<&'static str, String>;

/// The result of applying the template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Applied {
    Created,
    Updated,
    Unchanged,
}

/// A stack in CloudFormation.
pub(super) struct Stack<'a> {
    client: Client,
    name: &'a StackName,
    poll: Duration,
}

/// What the stack needs next.
enum NextUpdate {
    /// Nothing: it is up to date.
    Current,
    /// A change set of this type.
    ChangeSet(ChangeSetType),
}

impl<'a> Stack<'a> {
    /// How often a concurrent deployment may come first. Each attempt takes as long as that deployment.
    const MAX_ATTEMPTS: u8 = 5;

    pub(super) fn new(conn: &Connection, name: &'a StackName) -> Self {
        let config = Builder::from(&conn.sdk).interceptor(conn.calls.clone());
        Self {
            client: Client::from_conf(config.build()),
            name,
            // An emulator takes less than a second; AWS throttles frequent polling.
            poll: match EndpointKind::of(conn) {
                EndpointKind::Aws => Duration::from_secs(2),
                EndpointKind::Emulator | EndpointKind::LocalEmulator => Duration::from_millis(100),
            },
        }
    }

    /// Returns the stack; none if it does not exist.
    pub(super) async fn describe(&self) -> Result<Option<Description>, CloudError> {
        self.describe_by(self.name.as_str()).await
    }

    async fn describe_by(&self, name_or_id: &str) -> Result<Option<Description>, CloudError> {
        let answer = self
            .client
            .describe_stacks()
            .stack_name(name_or_id)
            .send()
            .await
            .map_err(|error| CloudError::from_sdk("cloudformation:DescribeStacks", error));
        match answer {
            Ok(answer) => Ok(answer.stacks.unwrap_or_default().into_iter().next()),
            Err(error) if error.message.contains("does not exist") => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Returns the key of the function's code in the bucket; none if there is no stack.
    pub(super) async fn code_key(&self) -> Result<Option<String>, CloudError> {
        self.parameter("CodeKey").await
    }

    /// Returns a parameter's value; none if the stack or the parameter does not exist.
    pub(super) async fn parameter(&self, name: &str) -> Result<Option<String>, CloudError> {
        let stack = self.describe().await?;
        let parameters = stack.as_ref().map_or(&[][..], |stack| stack.parameters());
        let mut parameters = parameters.iter();
        let found = parameters.find(|one| one.parameter_key() == Some(name));
        Ok(found.and_then(|found| found.parameter_value().map(str::to_owned)))
    }

    /// Fails if a stack of that name exists without Curfew's tag.
    pub(super) async fn check_owner(&self) -> Result<(), DeployError> {
        match self.describe().await? {
            Some(stack)
                if StackState::of(&stack) != StackState::Absent && !is_ours(&stack, self.name) =>
            {
                Err(self.foreign())
            }
            _ => Ok(()),
        }
    }

    /// Returns the names of all Curfew stacks in this account and region, including this one.
    pub(super) async fn all(&self) -> Result<Vec<StackName>, CloudError> {
        let mut names = Vec::new();
        let mut pages = PageTokens::new("cloudformation:DescribeStacks");
        let mut token = None;
        loop {
            let page = self
                .client
                .describe_stacks()
                .set_next_token(token)
                .send()
                .await
                .map_err(|error| CloudError::from_sdk("cloudformation:DescribeStacks", error))?;
            for stack in page.stacks() {
                let marked = stack.tags().iter().any(|tag| tag.key() == Some(STACK_TAG));
                let name = stack.stack_name().and_then(|name| name.parse().ok());
                if let Some(name) = name
                    && marked
                    && status(stack) != "DELETE_COMPLETE"
                {
                    names.push(name);
                }
            }
            token = pages.follow(page.next_token)?;
            if token.is_none() {
                return Ok(names);
            }
        }
    }

    /// Updates the stack to the template and these parameters. Makes no writing call if it is up to date. Waits for concurrent deployments
    /// and then checks again.
    pub(super) async fn apply(
        &self,
        parameters: &Parameters,
        progress: &dyn Progress,
    ) -> Result<Applied, DeployError> {
        for _ in 0..Self::MAX_ATTEMPTS {
            let outcome = match self.wait_until_updatable(parameters, progress).await {
                Ok(NextUpdate::Current) => return Ok(Applied::Unchanged),
                Ok(NextUpdate::ChangeSet(kind)) => self.change(kind, parameters, progress).await,
                Err(error) => Err(error),
            };
            match outcome {
                Err(error) if is_conflict(&error) => {
                    progress.detail("another deployment came first: checking again");
                    sleep(self.poll).await;
                }
                outcome => return outcome,
            }
        }
        Err(DeployError::ConcurrentDeployments {
            stack: self.name.clone(),
        })
    }

    /// Waits for, rolls back or removes the stack until a change set can be created.
    async fn wait_until_updatable(
        &self,
        parameters: &Parameters,
        progress: &dyn Progress,
    ) -> Result<NextUpdate, DeployError> {
        let mut rolled_back = None;
        loop {
            let Some(stack) = self.describe().await? else {
                return Ok(NextUpdate::ChangeSet(ChangeSetType::Create));
            };
            match StackState::of(&stack) {
                StackState::Absent => return Ok(NextUpdate::ChangeSet(ChangeSetType::Create)),
                StackState::InProgress => {
                    progress.detail("waiting for another deployment to end");
                    self.wait(&id(&stack), None, progress).await?;
                }
                StackState::RollbackFailed => {
                    if let Some(failures) = rolled_back {
                        let stack = self.name.clone();
                        return Err(DeployError::RollbackFailed { stack, failures });
                    }
                    progress.note(&self.recovery_note(&stack, "retrying the rollback"));
                    rolled_back = Some(self.continue_rollback(&stack, progress).await?);
                }
                StackState::MustRecreate => {
                    progress.note(&self.recovery_note(&stack, "removing and recreating it"));
                    self.delete(&stack, progress).await?;
                }
                StackState::Stable if self.is_current(&stack, parameters).await? => {
                    return Ok(NextUpdate::Current);
                }
                StackState::Stable => return Ok(NextUpdate::ChangeSet(ChangeSetType::Update)),
            }
        }
    }

    /// Continues an update's rollback, and returns the failures.
    async fn continue_rollback(
        &self,
        stack: &Description,
        progress: &dyn Progress,
    ) -> Result<Vec<String>, DeployError> {
        let stack_id = id(stack);
        let cursor = self.event_cursor(&stack_id).await?;
        self.client
            .continue_update_rollback()
            .stack_name(self.name.as_str())
            .send()
            .await
            .map_err(|error| {
                CloudError::from_sdk("cloudformation:ContinueUpdateRollback", error)
            })?;
        let (_, failures) = self.wait(&stack_id, Some(cursor), progress).await?;
        Ok(failures)
    }

    /// Removes the stack in any state. Returns whether it existed.
    pub(super) async fn remove(&self, progress: &dyn Progress) -> Result<bool, DeployError> {
        loop {
            match self.describe().await? {
                None => return Ok(false),
                Some(stack) if status(&stack) == "DELETE_COMPLETE" => return Ok(false),
                Some(stack) if StackState::of(&stack) == StackState::InProgress => {
                    progress.detail("waiting for a deployment to end");
                    self.wait(&id(&stack), None, progress).await?;
                }
                Some(stack) => {
                    self.delete(&stack, progress).await?;
                    return Ok(true);
                }
            }
        }
    }

    /// Whether the stack has this template, these parameters and all outputs.
    async fn is_current(
        &self,
        stack: &Description,
        parameters: &Parameters,
    ) -> Result<bool, CloudError> {
        if !status(stack).ends_with("_COMPLETE") || super::outputs::read_outputs(stack).is_err() {
            return Ok(false);
        }
        if !stack_changes::parameter_changes(stack, parameters).is_empty() {
            return Ok(false);
        }
        let template = self
            .client
            .get_template()
            .stack_name(self.name.as_str())
            .template_stage(TemplateStage::Original)
            .send()
            .await
            .map_err(|error| CloudError::from_sdk("cloudformation:GetTemplate", error))?;
        Ok(template.template_body().map(str::trim) == Some(TEMPLATE.trim()))
    }

    async fn delete(
        &self,
        stack: &Description,
        progress: &dyn Progress,
    ) -> Result<(), DeployError> {
        if !is_ours(stack, self.name) {
            return Err(self.foreign());
        }
        let stack_id = id(stack);
        let mut cursor = self.event_cursor(&stack_id).await?;
        let mut outcome = self.delete_once(&stack_id, &cursor, progress).await?;
        if outcome.0 == "DELETE_FAILED" {
            // A second attempt often succeeds once dependent resources are gone; LocalStack fails once for resources that were never created.
            cursor = self.event_cursor(&stack_id).await?;
            outcome = self.delete_once(&stack_id, &cursor, progress).await?;
        }
        let (status, failures) = outcome;
        if status == "DELETE_COMPLETE" {
            return Ok(());
        }
        Err(DeployError::Failed {
            stack: self.name.clone(),
            status,
            failures,
        })
    }

    async fn delete_once(
        &self,
        stack_id: &str,
        cursor: &EventCursor,
        progress: &dyn Progress,
    ) -> Result<(String, Vec<String>), DeployError> {
        self.client
            .delete_stack()
            .stack_name(self.name.as_str())
            .send()
            .await
            .map_err(|error| CloudError::from_sdk("cloudformation:DeleteStack", error))?;
        self.wait(stack_id, Some(cursor.clone()), progress).await
    }

    /// Describes the stack's status, its meaning and the remedy.
    fn recovery_note(&self, stack: &Description, remedy: &str) -> String {
        let status = status(stack);
        let meaning = status::meaning(status);
        format!(
            "the stack `{}` is in {status}: {meaning}; {remedy}",
            self.name
        )
    }

    fn foreign(&self) -> DeployError {
        DeployError::ForeignStack {
            stack: self.name.clone(),
        }
    }
}
