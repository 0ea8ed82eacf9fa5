//! Change sets: what would change, and changing just that.

use aws_sdk_cloudformation::operation::describe_change_set::DescribeChangeSetOutput;
use aws_sdk_cloudformation::types::{
    Capability, ChangeSetStatus, ChangeSetType, ExecutionStatus, Parameter, Tag,
};
use curfew_aws::error::CloudError;
use curfew_aws::pages::PageTokens;
use curfew_aws::progress::Progress;
use tokio::time::{Instant, sleep};

use super::changes::{Intent, ResourceChange, StackChanges, of_parameters, of_resource};
use super::status::{Found, id, status};
use super::{Applied, Parameters, Stack, TEMPLATE};
use crate::{DeployError, MARK};

/// One at a time: a second deployment finds the first one's, and waits.
const CHANGE_SET: &str = "curfew-deploy";
/// How long, in looks, another deployment may take between proposing and executing; then it is taken to have been interrupted.
const PATIENCE: u8 = 10;

/// A change set that is there to be looked at or executed.
struct Proposal {
    arn: String,
    stack_id: String,
}

impl Stack<'_> {
    /// What [`apply`](Self::apply) would change. Leaves nothing behind.
    pub(crate) async fn preview(
        &self,
        parameters: &Parameters,
    ) -> Result<StackChanges, DeployError> {
        let before = self.describe().await?;
        let found = before.as_ref().map_or(Found::Nothing, Found::of);
        let changes = |intent, resources| StackChanges {
            intent,
            status: before.as_ref().map(|stack| status(stack).to_owned()),
            parameters: before
                .as_ref()
                .filter(|_| intent == Intent::Update)
                .map(|stack| of_parameters(stack, parameters))
                .unwrap_or_default(),
            resources,
        };
        let (kind, intent) = match (found, &before) {
            (Found::Settled, Some(stack)) if self.is_current(stack, parameters).await? => {
                return Ok(changes(Intent::Keep, Vec::new()));
            }
            (Found::Ruined, _) => return Ok(changes(Intent::MakeAnew, Vec::new())),
            (Found::Nothing, _) => (ChangeSetType::Create, Intent::Create),
            (Found::Settled, _) => (ChangeSetType::Update, Intent::Update),
            (Found::Busy | Found::Stuck, _) => {
                let status = before.as_ref().map_or("", status).to_owned();
                let stack = self.name.clone();
                return Err(DeployError::Unsettled { stack, status });
            }
        };
        let Some(proposal) = self.propose(kind, parameters).await? else {
            return Ok(changes(Intent::Keep, Vec::new()));
        };
        let resources = self.proposed(&proposal).await;
        self.withdraw(&proposal).await?;
        Ok(match resources? {
            Some(resources) => changes(intent, resources),
            None => changes(Intent::Keep, Vec::new()),
        })
    }

    /// Makes a change set and executes it.
    pub(super) async fn change(
        &self,
        kind: ChangeSetType,
        parameters: &Parameters,
        progress: &dyn Progress,
    ) -> Result<Applied, DeployError> {
        let Some(proposal) = self.propose(kind.clone(), parameters).await? else {
            return Ok(Applied::Unchanged);
        };
        let resources = match self.proposed(&proposal).await {
            Ok(Some(resources)) => resources,
            Ok(None) => {
                self.withdraw(&proposal).await?;
                return Ok(Applied::Unchanged);
            }
            Err(error) => {
                if !is_interference(&error) {
                    self.withdraw(&proposal).await?;
                }
                return Err(error);
            }
        };
        let watched = self.watched(&proposal.stack_id).await?;
        let watched = watched.out_of(resources.len());
        // By its ARN: under its name there could be another deployment's by now.
        self.client
            .execute_change_set()
            .stack_name(self.name.as_str())
            .change_set_name(&proposal.arn)
            .send()
            .await
            .map_err(|error| CloudError::from_sdk("cloudformation:ExecuteChangeSet", error))?;
        let waiting = self.wait(&proposal.stack_id, Some(watched), progress);
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

    /// Has CloudFormation make a change set; none if it says at once that nothing would change.
    async fn propose(
        &self,
        kind: ChangeSetType,
        parameters: &Parameters,
    ) -> Result<Option<Proposal>, DeployError> {
        let mut patience = PATIENCE;
        loop {
            let error = match self.create_change_set(kind.clone(), parameters).await {
                Ok(proposal) => return Ok(Some(proposal)),
                Err(error) if says_nothing_changes(&error.message) => return Ok(None),
                Err(error) if is_taken(&error) => error,
                Err(error) => return Err(error.into()),
            };
            // Of another deployment that has not got to executing it, of one that was interrupted, or what the last one left.
            match self.changes(CHANGE_SET, None).await {
                Ok(theirs) if is_open(&theirs) && patience > 0 => {
                    patience -= 1;
                    sleep(self.poll).await;
                }
                Ok(_) => self.discard(CHANGE_SET).await?,
                // It is the stack that is there already.
                Err(_) => return Err(error.into()),
            }
        }
    }

    async fn create_change_set(
        &self,
        kind: ChangeSetType,
        parameters: &Parameters,
    ) -> Result<Proposal, CloudError> {
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
            .tags(Tag::builder().key(MARK).value(self.name.as_str()).build())
            .send()
            .await
            .map_err(|error| CloudError::from_sdk("cloudformation:CreateChangeSet", error))?;
        Ok(Proposal {
            arn: created.id.unwrap_or_default(),
            stack_id: created.stack_id.unwrap_or_default(),
        })
    }

    /// What a change set would change, once CloudFormation has found out; none if that is nothing.
    async fn proposed(
        &self,
        proposal: &Proposal,
    ) -> Result<Option<Vec<ResourceChange>>, DeployError> {
        let deadline = Instant::now() + Self::LIMIT;
        while Instant::now() < deadline {
            let page = self.changes(&proposal.arn, None).await?;
            match page.status() {
                Some(ChangeSetStatus::CreateComplete) => {
                    let mut changes = page.changes.unwrap_or_default();
                    let mut pages = PageTokens::new("cloudformation:DescribeChangeSet");
                    let mut token = pages.follow(page.next_token)?;
                    while token.is_some() {
                        let page = self.changes(&proposal.arn, token).await?;
                        changes.extend(page.changes.unwrap_or_default());
                        token = pages.follow(page.next_token)?;
                    }
                    return Ok(Some(changes.iter().filter_map(of_resource).collect()));
                }
                Some(ChangeSetStatus::Failed) => {
                    let reason = page.status_reason().unwrap_or("no reason given");
                    if says_nothing_changes(reason) {
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
        Err(self.too_slow())
    }

    async fn changes(
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

    /// Takes a proposal back, with the name that it reserved for a stack that does not exist.
    async fn withdraw(&self, proposal: &Proposal) -> Result<(), CloudError> {
        self.discard(&proposal.arn).await?;
        match self.describe().await? {
            Some(stack)
                if status(&stack) == "REVIEW_IN_PROGRESS" && id(&stack) == proposal.stack_id =>
            {
                self.client
                    .delete_stack()
                    .stack_name(&proposal.stack_id)
                    .send()
                    .await
                    .map(drop)
                    .map_err(|error| CloudError::from_sdk("cloudformation:DeleteStack", error))
            }
            _ => Ok(()),
        }
    }

    /// Removes a change set, if there is one.
    async fn discard(&self, change_set: &str) -> Result<(), CloudError> {
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

/// Whether a call failed because another deployment or removal of the stack was under way or came first.
pub(super) fn is_interference(error: &DeployError) -> bool {
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
    let coming = [
        ChangeSetStatus::CreatePending,
        ChangeSetStatus::CreateInProgress,
    ];
    change_set.status().is_some_and(|s| coming.contains(s))
        || change_set.execution_status() == Some(&ExecutionStatus::Available)
}

/// AWS has two sentences for it, and the emulators one each.
fn says_nothing_changes(reason: &str) -> bool {
    ["didn't contain changes", "No updates are to be performed"]
        .iter()
        .any(|sentence| reason.contains(sentence))
}
