//! Creates change sets, reads their changes, and executes or deletes them.

use aws_sdk_cloudformation::operation::describe_change_set::DescribeChangeSetOutput;
use aws_sdk_cloudformation::types::{
    Capability, ChangeSetStatus, ChangeSetType, ExecutionStatus, Parameter, Tag,
};
use curfew_aws::error::CloudError;
use curfew_aws::pages::PageTokens;
use curfew_aws::progress::Progress;
use tokio::time::{Instant, sleep};

use super::stack_changes::{
    Intent, ResourceChange, StackChanges, parameter_changes, resource_change,
};
use super::status::{StackState, id, status};
use super::{Applied, Parameters, Stack, TEMPLATE};
use crate::{DeployError, STACK_TAG};

/// The name of every change set: a second deployment finds the first one's, and waits.
const CHANGE_SET: &str = "curfew-deploy";
/// How many polls another deployment may take before it executes its change set; after that it counts as interrupted.
const MAX_WAITS: u8 = 10;

/// A change set that has been created.
struct CreatedChangeSet {
    arn: String,
    stack_id: String,
}

impl Stack<'_> {
    /// Returns what [`apply`](Self::apply) would change, and leaves no change set.
    pub(crate) async fn preview(
        &self,
        parameters: &Parameters,
    ) -> Result<StackChanges, DeployError> {
        let before = self.describe().await?;
        let found = before.as_ref().map_or(StackState::Absent, StackState::of);
        let changes = |intent, resources| StackChanges {
            intent,
            status: before.as_ref().map(|stack| status(stack).to_owned()),
            parameters: before
                .as_ref()
                .filter(|_| intent == Intent::Update)
                .map(|stack| parameter_changes(stack, parameters))
                .unwrap_or_default(),
            resources,
        };
        let (kind, intent) = match (found, &before) {
            (StackState::Stable, Some(stack)) if self.is_current(stack, parameters).await? => {
                return Ok(changes(Intent::Keep, Vec::new()));
            }
            (StackState::MustRecreate, _) => return Ok(changes(Intent::MakeAnew, Vec::new())),
            (StackState::Absent, _) => (ChangeSetType::Create, Intent::Create),
            (StackState::Stable, _) => (ChangeSetType::Update, Intent::Update),
            (StackState::InProgress | StackState::RollbackFailed, _) => {
                let status = before.as_ref().map_or("", status).to_owned();
                let stack = self.name.clone();
                return Err(DeployError::StackInProgress { stack, status });
            }
        };
        let Some(change_set) = self.create_when_free(kind, parameters).await? else {
            return Ok(changes(Intent::Keep, Vec::new()));
        };
        let resources = self.computed_changes(&change_set).await;
        self.discard_change_set(&change_set).await?;
        Ok(match resources? {
            Some(resources) => changes(intent, resources),
            None => changes(Intent::Keep, Vec::new()),
        })
    }

    /// Creates a change set and executes it.
    pub(super) async fn change(
        &self,
        kind: ChangeSetType,
        parameters: &Parameters,
        progress: &dyn Progress,
    ) -> Result<Applied, DeployError> {
        let Some(change_set) = self.create_when_free(kind.clone(), parameters).await? else {
            return Ok(Applied::Unchanged);
        };
        let resources = match self.computed_changes(&change_set).await {
            Ok(Some(resources)) => resources,
            Ok(None) => {
                self.discard_change_set(&change_set).await?;
                return Ok(Applied::Unchanged);
            }
            Err(error) => {
                if !is_conflict(&error) {
                    self.discard_change_set(&change_set).await?;
                }
                return Err(error);
            }
        };
        let cursor = self.event_cursor(&change_set.stack_id).await?;
        let cursor = cursor.out_of(resources.len());
        // By its ARN: another deployment's change set may have the name by now.
        self.client
            .execute_change_set()
            .stack_name(self.name.as_str())
            .change_set_name(&change_set.arn)
            .send()
            .await
            .map_err(|error| CloudError::from_sdk("cloudformation:ExecuteChangeSet", error))?;
        let waiting = self.wait(&change_set.stack_id, Some(cursor), progress);
        let (status, failures) = waiting.await?;
        match (status.as_str(), kind) {
            ("CREATE_COMPLETE", ChangeSetType::Create) if failures.is_empty() => {
                Ok(Applied::Created)
            }
            ("UPDATE_COMPLETE", _) if failures.is_empty() => Ok(Applied::Updated),
            _ => Err(DeployError::Failed {
                stack: self.name.clone(),
                status,
                failures,
            }),
        }
    }

    /// Creates a change set; none if CloudFormation rejects it because nothing would change.
    async fn create_when_free(
        &self,
        kind: ChangeSetType,
        parameters: &Parameters,
    ) -> Result<Option<CreatedChangeSet>, DeployError> {
        let mut waits_left = MAX_WAITS;
        loop {
            let error = match self.create_change_set(kind.clone(), parameters).await {
                Ok(change_set) => return Ok(Some(change_set)),
                Err(error) if is_no_change(&error.message) => return Ok(None),
                Err(error) if is_taken(&error) => error,
                Err(error) => return Err(error.into()),
            };
            // It may belong to a concurrent, an interrupted or a completed deployment.
            match self.describe_change_set(CHANGE_SET, None).await {
                Ok(existing) if is_open(&existing) && waits_left > 0 => {
                    waits_left -= 1;
                    sleep(self.poll).await;
                }
                Ok(_) => self.delete_change_set(CHANGE_SET).await?,
                // There is no change set: it is the stack that exists already.
                Err(_) => return Err(error.into()),
            }
        }
    }

    async fn create_change_set(
        &self,
        kind: ChangeSetType,
        parameters: &Parameters,
    ) -> Result<CreatedChangeSet, CloudError> {
        let parameters = parameters.iter().map(|(key, value)| {
            Parameter::builder()
                .parameter_key(*key)
                .parameter_value(value)
                .build()
        });
        let created = self
            .client
            .create_change_set()
            .stack_name(self.name.as_str())
            .change_set_name(CHANGE_SET)
            .change_set_type(kind)
            .template_body(TEMPLATE)
            .set_parameters(Some(parameters.collect()))
            .capabilities(Capability::CapabilityIam)
            .tags(
                Tag::builder()
                    .key(STACK_TAG)
                    .value(self.name.as_str())
                    .build(),
            )
            .send()
            .await
            .map_err(|error| CloudError::from_sdk("cloudformation:CreateChangeSet", error))?;
        Ok(CreatedChangeSet {
            arn: created.id.unwrap_or_default(),
            stack_id: created.stack_id.unwrap_or_default(),
        })
    }

    /// Waits until CloudFormation has computed the changes, and returns them; none if nothing would change.
    async fn computed_changes(
        &self,
        change_set: &CreatedChangeSet,
    ) -> Result<Option<Vec<ResourceChange>>, DeployError> {
        let deadline = Instant::now() + Self::LIMIT;
        while Instant::now() < deadline {
            let page = self.describe_change_set(&change_set.arn, None).await?;
            match page.status() {
                Some(ChangeSetStatus::CreateComplete) => {
                    let mut changes = page.changes.unwrap_or_default();
                    let mut pages = PageTokens::new("cloudformation:DescribeChangeSet");
                    let mut token = pages.follow(page.next_token)?;
                    while token.is_some() {
                        let page = self.describe_change_set(&change_set.arn, token).await?;
                        changes.extend(page.changes.unwrap_or_default());
                        token = pages.follow(page.next_token)?;
                    }
                    return Ok(Some(changes.iter().filter_map(resource_change).collect()));
                }
                Some(ChangeSetStatus::Failed) => {
                    let reason = page.status_reason().unwrap_or("no reason given");
                    if is_no_change(reason) {
                        return Ok(None);
                    }
                    return Err(DeployError::ChangeSet {
                        stack: self.name.clone(),
                        reason: reason.to_owned(),
                    });
                }
                _ => sleep(self.poll).await,
            }
        }
        Err(self.timed_out())
    }

    async fn describe_change_set(
        &self,
        change_set: &str,
        token: Option<String>,
    ) -> Result<DescribeChangeSetOutput, CloudError> {
        self.client
            .describe_change_set()
            .stack_name(self.name.as_str())
            .change_set_name(change_set)
            .set_next_token(token)
            .send()
            .await
            .map_err(|error| CloudError::from_sdk("cloudformation:DescribeChangeSet", error))
    }

    /// Deletes a change set, and the empty stack that it created if the stack did not exist.
    async fn discard_change_set(&self, change_set: &CreatedChangeSet) -> Result<(), CloudError> {
        self.delete_change_set(&change_set.arn).await?;
        match self.describe().await? {
            Some(stack)
                if status(&stack) == "REVIEW_IN_PROGRESS" && id(&stack) == change_set.stack_id =>
            {
                self.client
                    .delete_stack()
                    .stack_name(&change_set.stack_id)
                    .send()
                    .await
                    .map(drop)
                    .map_err(|error| CloudError::from_sdk("cloudformation:DeleteStack", error))
            }
            _ => Ok(()),
        }
    }

    /// Deletes a change set, if it exists.
    async fn delete_change_set(&self, change_set: &str) -> Result<(), CloudError> {
        let discarded = self
            .client
            .delete_change_set()
            .stack_name(self.name.as_str())
            .change_set_name(change_set)
            .send()
            .await
            .map_err(|error| CloudError::from_sdk("cloudformation:DeleteChangeSet", error));
        match discarded {
            Err(error) if !is_gone(&error) => Err(error),
            _ => Ok(()),
        }
    }
}

/// Whether a call failed because of a concurrent deployment or removal of the stack.
pub(super) fn is_conflict(error: &DeployError) -> bool {
    let DeployError::Cloud(error) = error else {
        return false;
    };
    let code = error.code.as_deref().unwrap_or_default();
    is_taken(error)
        || is_gone(error)
        || code.starts_with("InvalidChangeSetStatus")
        || error.message.contains("_IN_PROGRESS state")
}

fn is_taken(error: &CloudError) -> bool {
    let code = error.code.as_deref().unwrap_or_default();
    code == "AlreadyExistsException" || error.message.contains("already exists")
}

fn is_gone(error: &CloudError) -> bool {
    let code = error.code.as_deref().unwrap_or_default();
    code.starts_with("ChangeSetNotFound") || error.message.contains("does not exist")
}

/// Whether another process may be about to execute it.
fn is_open(change_set: &DescribeChangeSetOutput) -> bool {
    let pending = [
        ChangeSetStatus::CreatePending,
        ChangeSetStatus::CreateInProgress,
    ];
    change_set.status().is_some_and(|s| pending.contains(s))
        || change_set.execution_status() == Some(&ExecutionStatus::Available)
}

/// Whether the message says that nothing would change: AWS has two texts for that, and each emulator has one of them.
fn is_no_change(reason: &str) -> bool {
    ["didn't contain changes", "No updates are to be performed"]
        .iter()
        .any(|sentence| reason.contains(sentence))
}
