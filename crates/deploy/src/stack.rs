//! The stack, through CloudFormation: bringing it to the template whatever state it was left in, and removing it.

mod change_set;
mod changes;
mod status;
#[cfg(test)]
mod tests;
mod watch;

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

use self::change_set::is_interference;
pub use self::changes::{Action, Intent, ParameterChange, ResourceChange, StackChanges};
pub(super) use self::status::is_ours;
use self::status::{Found, id, status};
use self::watch::Watched;
use super::{DeployError, MARK};
use curfew_aws::progress::Progress;

/// The CloudFormation template of the stack.
pub const TEMPLATE: &str = include_str!("stack.yaml");

/// The template's parameters, by name.
pub(super) type Parameters = BTreeMap<&'static str, String>;

/// What applying did.
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

/// What can be done with the stack as it is.
enum Ready {
    /// Nothing: it is as it should be.
    Current,
    /// A change set of this kind.
    For(ChangeSetType),
}

impl<'a> Stack<'a> {
    /// How often another deployment may come first. Each time takes as long as that deployment; more than a few are no accident.
    const ROUNDS: u8 = 5;

    pub(super) fn new(conn: &Connection, name: &'a StackName) -> Self {
        let config = Builder::from(&conn.sdk).interceptor(conn.calls.clone());
        Self {
            client: Client::from_conf(config.build()),
            name,
            // An emulator is done within a second; AWS throttles frequent polling.
            poll: match EndpointKind::of(conn) {
                EndpointKind::Aws => Duration::from_secs(2),
                EndpointKind::Emulator | EndpointKind::LocalEmulator => Duration::from_millis(100),
            },
        }
    }

    /// The stack as it is now; none if there is none.
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

    /// Where the function's code is in the bucket; none if there is no function.
    pub(super) async fn code_key(&self) -> Result<Option<String>, CloudError> {
        self.parameter("CodeKey").await
    }

    /// A parameter's value now; none if the stack or the parameter is not there.
    pub(super) async fn parameter(&self, name: &str) -> Result<Option<String>, CloudError> {
        let stack = self.describe().await?;
        let parameters = stack.as_ref().map_or(&[][..], |stack| stack.parameters());
        let mut parameters = parameters.iter();
        let found = parameters.find(|one| one.parameter_key() == Some(name));
        Ok(found.and_then(|found| found.parameter_value().map(str::to_owned)))
    }

    /// Refuses a stack of that name without Curfew's tag.
    pub(super) async fn check_owner(&self) -> Result<(), DeployError> {
        match self.describe().await? {
            Some(stack) if Found::of(&stack) != Found::Nothing && !is_ours(&stack, self.name) => {
                Err(self.foreign())
            }
            _ => Ok(()),
        }
    }

    /// The names of all Curfew stacks in this account and region, this one's included.
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
                let marked = stack.tags().iter().any(|tag| tag.key() == Some(MARK));
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

    /// Brings the stack to the template with these parameters. Makes no writing call where it is there already. Where another
    /// deployment is under way, waits for it and looks again.
    pub(super) async fn apply(
        &self,
        parameters: &Parameters,
        progress: &dyn Progress,
    ) -> Result<Applied, DeployError> {
        for _ in 0..Self::ROUNDS {
            let outcome = match self.settle(parameters, progress).await {
                Ok(Ready::Current) => return Ok(Applied::Unchanged),
                Ok(Ready::For(kind)) => self.change(kind, parameters, progress).await,
                Err(error) => Err(error),
            };
            match outcome {
                Err(error) if is_interference(&error) => {
                    progress.detail("another deployment came first: looking again");
                    sleep(self.poll).await;
                }
                outcome => return outcome,
            }
        }
        Err(DeployError::Contended {
            stack: self.name.clone(),
        })
    }

    /// Waits, or clears away, until a change set can be made.
    async fn settle(
        &self,
        parameters: &Parameters,
        progress: &dyn Progress,
    ) -> Result<Ready, DeployError> {
        let mut undone = None;
        loop {
            let Some(stack) = self.describe().await? else {
                return Ok(Ready::For(ChangeSetType::Create));
            };
            match Found::of(&stack) {
                Found::Nothing => return Ok(Ready::For(ChangeSetType::Create)),
                Found::Busy => {
                    progress.detail("waiting for another deployment to end");
                    self.wait(&id(&stack), None, progress).await?;
                }
                Found::Stuck => {
                    if let Some(failures) = undone {
                        let stack = self.name.clone();
                        return Err(DeployError::StuckStack { stack, failures });
                    }
                    progress.note(&self.found_in(&stack, "undoing it is tried once more"));
                    undone = Some(self.undo(&stack, progress).await?);
                }
                Found::Ruined => {
                    progress.note(&self.found_in(&stack, "it is removed and made anew"));
                    self.delete(&stack, progress).await?;
                }
                Found::Settled if self.is_current(&stack, parameters).await? => {
                    return Ok(Ready::Current);
                }
                Found::Settled => return Ok(Ready::For(ChangeSetType::Update)),
            }
        }
    }

    /// Continues an update's rollback, and answers with what failed then.
    async fn undo(
        &self,
        stack: &Description,
        progress: &dyn Progress,
    ) -> Result<Vec<String>, DeployError> {
        let stack_id = id(stack);
        let watched = self.watched(&stack_id).await?;
        self.client
            .continue_update_rollback()
            .stack_name(self.name.as_str())
            .send()
            .await
            .map_err(|error| {
                CloudError::from_sdk("cloudformation:ContinueUpdateRollback", error)
            })?;
        let (_, failures) = self.wait(&stack_id, Some(watched), progress).await?;
        Ok(failures)
    }

    /// Removes the stack, whatever its state; says whether there was one.
    pub(super) async fn remove(&self, progress: &dyn Progress) -> Result<bool, DeployError> {
        loop {
            match self.describe().await? {
                None => return Ok(false),
                Some(stack) if status(&stack) == "DELETE_COMPLETE" => return Ok(false),
                Some(stack) if Found::of(&stack) == Found::Busy => {
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

    /// Whether the stack has this template, these parameters and everything that the template says.
    async fn is_current(
        &self,
        stack: &Description,
        parameters: &Parameters,
    ) -> Result<bool, CloudError> {
        if !status(stack).ends_with("_COMPLETE") || super::outputs::of_stack(stack).is_err() {
            return Ok(false);
        }
        if !changes::of_parameters(stack, parameters).is_empty() {
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
        let mut watched = self.watched(&stack_id).await?;
        let mut outcome = self.delete_once(&stack_id, &watched, progress).await?;
        if outcome.0 == "DELETE_FAILED" {
            // What could not go before what hangs on it often can afterwards; LocalStack fails once over what was never made.
            watched = self.watched(&stack_id).await?;
            outcome = self.delete_once(&stack_id, &watched, progress).await?;
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
        watched: &Watched,
        progress: &dyn Progress,
    ) -> Result<(String, Vec<String>), DeployError> {
        self.client
            .delete_stack()
            .stack_name(self.name.as_str())
            .send()
            .await
            .map_err(|error| CloudError::from_sdk("cloudformation:DeleteStack", error))?;
        self.wait(stack_id, Some(watched.clone()), progress).await
    }

    /// What state the stack is in, what that means, and what is done about it.
    fn found_in(&self, stack: &Description, remedy: &str) -> String {
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
