//! The stack, through CloudFormation: what would change, changing it, watching it, and removing it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aws_sdk_cloudformation::Client;
use aws_sdk_cloudformation::types::{
    Capability, ChangeSetStatus, ChangeSetType, Parameter, ResourceAttribute, Stack as Description,
    StackEvent, Tag, TemplateStage,
};
use curfew_aws::connect::Connection;
use curfew_aws::error::{CloudError, CloudErrorKind};
use curfew_aws::rules::StackName;
use serde::Serialize;
use tokio::time::{Instant, sleep};

use super::{Cloud, DeployError};
use crate::progress::Progress;

/// The CloudFormation template of the stack.
pub const TEMPLATE: &str = include_str!("stack.yaml");
/// The tag that says that a stack is Curfew's; every resource inherits it.
const MARK: &str = "curfew:stack";
/// One at a time: a second deployment finds the first one's and replaces it.
const CHANGE_SET: &str = "curfew-deploy";

/// One resource that a deployment would change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ResourceChange {
    /// `Add`, `Modify`, `Remove`, in CloudFormation's words.
    pub action: String,
    /// The name in the template.
    pub resource: String,
    /// For example `AWS::Lambda::Function`.
    #[serde(rename = "type")]
    pub kind: String,
    /// `True`, `False` or `Conditional`: whether it is made anew, with another id.
    pub replacement: Option<String>,
    /// The properties that change.
    pub properties: Vec<String>,
}

/// What applying did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Applied {
    Created,
    Updated,
    Unchanged,
}

/// What has to happen before a change set can be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    /// There is none, or only a name that an interrupted deployment reserved.
    Nothing,
    /// It is as a deployment left it.
    Settled,
    /// Something is going on.
    Busy,
    /// A deployment failed; nothing can be done with it but removing it.
    Ruined,
    /// CloudFormation could not undo an update and waits for a person.
    Stuck,
}

impl Found {
    /// <https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/view-stack-events.html>
    fn of_status(status: &str) -> Self {
        match status {
            "REVIEW_IN_PROGRESS" | "DELETE_COMPLETE" => Self::Nothing,
            "ROLLBACK_COMPLETE" | "ROLLBACK_FAILED" | "CREATE_FAILED" | "DELETE_FAILED" => {
                Self::Ruined
            }
            "UPDATE_ROLLBACK_FAILED" => Self::Stuck,
            _ if status.ends_with("_IN_PROGRESS") => Self::Busy,
            _ => Self::Settled,
        }
    }
}

/// A stack in CloudFormation.
pub(super) struct Stack<'a> {
    client: Client,
    name: &'a StackName,
    poll: Duration,
}

impl<'a> Stack<'a> {
    /// The slowest resource is the role, which takes AWS half a minute. Ten minutes without an end is no progress any more.
    const LIMIT: Duration = Duration::from_mins(10);

    pub(super) fn new(conn: &Connection, name: &'a StackName) -> Self {
        Self {
            client: Client::new(&conn.sdk),
            name,
            // An emulator is done within a second; AWS throttles those who ask often.
            poll: match Cloud::of(conn) {
                Cloud::Aws => Duration::from_secs(2),
                Cloud::Emulator => Duration::from_millis(100),
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

    /// Refuses a stack of that name that is somebody else's.
    pub(super) async fn check_owner(&self) -> Result<(), DeployError> {
        match self.describe().await? {
            Some(stack) if Found::of(&stack) != Found::Nothing && !is_ours(&stack, self.name) => {
                Err(DeployError::ForeignStack {
                    stack: self.name.clone(),
                })
            }
            _ => Ok(()),
        }
    }

    /// Brings the stack to the template with these parameters. Makes no writing call where it is there already.
    pub(super) async fn apply(
        &self,
        parameters: &BTreeMap<&'static str, String>,
        progress: &dyn Progress,
    ) -> Result<Applied, DeployError> {
        let create = loop {
            let Some(stack) = self.describe().await? else {
                break true;
            };
            match Found::of(&stack) {
                Found::Nothing => break true,
                Found::Busy => {
                    progress.detail("waiting for another deployment to end");
                    self.wait(&id(&stack), None, progress).await?;
                }
                Found::Stuck => {
                    return Err(DeployError::StuckStack {
                        stack: self.name.clone(),
                    });
                }
                Found::Ruined => {
                    progress.note(&format!(
                        "the stack `{}` is {}, as a deployment that failed left it; it is removed and made anew",
                        self.name,
                        status(&stack)
                    ));
                    self.delete(&stack, progress).await?;
                }
                Found::Settled if self.is_current(&stack, parameters).await? => {
                    return Ok(Applied::Unchanged);
                }
                Found::Settled => break false,
            }
        };
        if self.prepare(create, parameters).await?.is_none() {
            self.discard().await?;
            return Ok(Applied::Unchanged);
        }
        self.execute(create, progress).await
    }

    /// What [`apply`](Self::apply) would change.
    pub(super) async fn preview(
        &self,
        parameters: &BTreeMap<&'static str, String>,
    ) -> Result<Vec<ResourceChange>, DeployError> {
        let before = self.describe().await?;
        let create = match &before {
            Some(stack) if Found::of(stack) == Found::Settled => {
                if self.is_current(stack, parameters).await? {
                    return Ok(Vec::new());
                }
                false
            }
            Some(stack) if Found::of(stack) != Found::Nothing => {
                return Err(DeployError::Unsettled {
                    stack: self.name.clone(),
                    status: status(stack).to_owned(),
                });
            }
            _ => true,
        };
        let changes = self.prepare(create, parameters).await?;
        self.discard().await?;
        // Asking reserves the name of a stack that does not exist.
        if before.is_none() {
            self.client
                .delete_stack()
                .stack_name(self.name.as_str())
                .send()
                .await
                .map_err(|error| CloudError::from_sdk("cloudformation:DeleteStack", error))?;
        }
        Ok(changes.unwrap_or_default())
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
        parameters: &BTreeMap<&'static str, String>,
    ) -> Result<bool, CloudError> {
        if !status(stack).ends_with("_COMPLETE") || super::outputs::of_stack(stack).is_err() {
            return Ok(false);
        }
        let deployed: BTreeMap<_, _> = stack
            .parameters()
            .iter()
            .filter_map(|p| Some((p.parameter_key()?, p.parameter_value()?)))
            .collect();
        let same = |(key, value): (&&str, &String)| deployed.get(key) == Some(&value.as_str());
        if !parameters.iter().all(same) {
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

    /// Makes a change set and answers with what it would change; none if that is nothing.
    async fn prepare(
        &self,
        create: bool,
        parameters: &BTreeMap<&'static str, String>,
    ) -> Result<Option<Vec<ResourceChange>>, DeployError> {
        // An interrupted deployment may have left one.
        self.discard().await?;
        let parameters = parameters.iter().map(|(key, value)| {
            Parameter::builder()
                .parameter_key(*key)
                .parameter_value(value)
                .build()
        });
        let kind = if create {
            ChangeSetType::Create
        } else {
            ChangeSetType::Update
        };
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
            .map_err(|error| CloudError::from_sdk("cloudformation:CreateChangeSet", error));
        match created {
            Err(error) if says_nothing_changes(&error.message) => return Ok(None),
            Err(error) => return Err(error.into()),
            Ok(_) => {}
        }
        let deadline = Instant::now() + Self::LIMIT;
        while Instant::now() < deadline {
            let page = self.changes(None).await?;
            match page.status() {
                Some(ChangeSetStatus::CreateComplete) => {
                    let mut changes = page.changes.unwrap_or_default();
                    let mut token = page.next_token;
                    while token.is_some() {
                        let page = self.changes(token).await?;
                        changes.extend(page.changes.unwrap_or_default());
                        token = page.next_token;
                    }
                    return Ok(Some(changes.iter().filter_map(described).collect()));
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
        token: Option<String>,
    ) -> Result<
        aws_sdk_cloudformation::operation::describe_change_set::DescribeChangeSetOutput,
        CloudError,
    > {
        self.client
            .describe_change_set()
            .stack_name(self.name.as_str())
            .change_set_name(CHANGE_SET)
            .set_next_token(token)
            .send()
            .await
            .map_err(|error| CloudError::from_sdk("cloudformation:DescribeChangeSet", error))
    }

    async fn execute(&self, create: bool, progress: &dyn Progress) -> Result<Applied, DeployError> {
        let Some(stack) = self.describe().await? else {
            return Err(DeployError::NotDeployed {
                stack: self.name.clone(),
            });
        };
        let stack_id = id(&stack);
        let before = self.events(&stack_id, &BTreeSet::new()).await?;
        let before: BTreeSet<_> = before.iter().filter_map(event_id).collect();
        self.client
            .execute_change_set()
            .stack_name(self.name.as_str())
            .change_set_name(CHANGE_SET)
            .send()
            .await
            .map_err(|error| CloudError::from_sdk("cloudformation:ExecuteChangeSet", error))?;
        let (status, failures) = self.wait(&stack_id, Some(before), progress).await?;
        match status.as_str() {
            "CREATE_COMPLETE" | "UPDATE_COMPLETE" if failures.is_empty() => Ok(if create {
                Applied::Created
            } else {
                Applied::Updated
            }),
            _ => Err(DeployError::Failed {
                stack: self.name.clone(),
                status,
                failures,
            }),
        }
    }

    async fn delete(
        &self,
        stack: &Description,
        progress: &dyn Progress,
    ) -> Result<(), DeployError> {
        if !is_ours(stack, self.name) {
            return Err(DeployError::ForeignStack {
                stack: self.name.clone(),
            });
        }
        let stack_id = id(stack);
        let before = self.events(&stack_id, &BTreeSet::new()).await?;
        let before: BTreeSet<_> = before.iter().filter_map(event_id).collect();
        let mut outcome = self.delete_once(&stack_id, &before, progress).await?;
        if outcome.0 == "DELETE_FAILED" {
            // What could not go before what hangs on it often can afterwards; LocalStack fails once over what was never made.
            outcome = self.delete_once(&stack_id, &before, progress).await?;
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
        before: &BTreeSet<String>,
        progress: &dyn Progress,
    ) -> Result<(String, Vec<String>), DeployError> {
        self.client
            .delete_stack()
            .stack_name(self.name.as_str())
            .send()
            .await
            .map_err(|error| CloudError::from_sdk("cloudformation:DeleteStack", error))?;
        self.wait(stack_id, Some(before.clone()), progress).await
    }

    /// Removes the change set, if there is one.
    async fn discard(&self) -> Result<(), CloudError> {
        let discarded = self
            .client
            .delete_change_set()
            .stack_name(self.name.as_str())
            .change_set_name(CHANGE_SET)
            .send()
            .await
            .map_err(|error| CloudError::from_sdk("cloudformation:DeleteChangeSet", error));
        match discarded {
            Err(error)
                if error.code.as_deref() != Some("ChangeSetNotFound")
                    && error.code.as_deref() != Some("ChangeSetNotFoundException")
                    && !error.message.contains("does not exist") =>
            {
                Err(error)
            }
            _ => Ok(()),
        }
    }

    /// Waits until nothing is going on any more; answers with the status and with what failed since `seen`.
    async fn wait(
        &self,
        stack_id: &str,
        seen: Option<BTreeSet<String>>,
        progress: &dyn Progress,
    ) -> Result<(String, Vec<String>), DeployError> {
        let mut seen = seen;
        let mut failures = Vec::new();
        let deadline = Instant::now() + Self::LIMIT;
        while Instant::now() < deadline {
            // Before the events, so that the last of them is not missed.
            let stack = self.describe_by(stack_id).await?;
            if let (Some(seen), Some(_)) = (&mut seen, &stack) {
                for event in self.events(stack_id, seen).await?.iter().rev() {
                    seen.extend(event_id(event));
                    report(event, self.name, &mut failures, progress);
                }
            }
            let Some(stack) = stack else {
                return Ok(("DELETE_COMPLETE".to_owned(), failures));
            };
            if Found::of(&stack) != Found::Busy {
                return Ok((status(&stack).to_owned(), failures));
            }
            sleep(self.poll).await;
        }
        Err(self.too_slow())
    }

    /// The events that are not in `seen`, newest first.
    async fn events(
        &self,
        stack_id: &str,
        seen: &BTreeSet<String>,
    ) -> Result<Vec<StackEvent>, CloudError> {
        let mut events = Vec::new();
        let mut pages = self
            .client
            .describe_stack_events()
            .stack_name(stack_id)
            .into_paginator()
            .send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| {
                CloudError::from_sdk("cloudformation:DescribeStackEvents", error)
            })?;
            for event in page.stack_events.unwrap_or_default() {
                if event_id(&event).is_some_and(|id| seen.contains(&id)) {
                    return Ok(events);
                }
                events.push(event);
            }
        }
        Ok(events)
    }

    fn too_slow(&self) -> DeployError {
        CloudError::new(
            "cloudformation:DescribeStacks",
            CloudErrorKind::Service,
            format!(
                "the stack `{}` is not done after {} minutes",
                self.name,
                Self::LIMIT.as_secs() / 60
            ),
        )
        .into()
    }
}

impl Found {
    fn of(stack: &Description) -> Self {
        Self::of_status(status(stack))
    }
}

fn status(stack: &Description) -> &str {
    stack.stack_status().map_or("", |status| status.as_str())
}

fn id(stack: &Description) -> String {
    stack
        .stack_id()
        .or(stack.stack_name())
        .unwrap_or_default()
        .to_owned()
}

fn event_id(event: &StackEvent) -> Option<String> {
    event.event_id().map(str::to_owned)
}

fn is_ours(stack: &Description, name: &StackName) -> bool {
    // A name that was only reserved carries no tags on every cloud.
    Found::of(stack) == Found::Nothing
        || stack
            .tags()
            .iter()
            .any(|tag| tag.key() == Some(MARK) && tag.value() == Some(name.as_str()))
}

/// AWS has two sentences for it, and the emulators one each.
fn says_nothing_changes(reason: &str) -> bool {
    ["didn't contain changes", "No updates are to be performed"]
        .iter()
        .any(|sentence| reason.contains(sentence))
}

fn described(change: &aws_sdk_cloudformation::types::Change) -> Option<ResourceChange> {
    let change = change.resource_change()?;
    let targets = change.details().iter().filter_map(|d| d.target());
    let properties: BTreeSet<_> = targets
        .filter_map(|t| {
            Some(
                t.name()
                    .or(t.attribute().map(ResourceAttribute::as_str))?
                    .to_owned(),
            )
        })
        .collect();
    Some(ResourceChange {
        action: change.action()?.as_str().to_owned(),
        resource: change.logical_resource_id()?.to_owned(),
        kind: change.resource_type().unwrap_or_default().to_owned(),
        replacement: change.replacement().map(|r| r.as_str().to_owned()),
        properties: properties.into_iter().collect(),
    })
}

/// `Function: create complete`; and what failed, with CloudFormation's reason.
fn report(
    event: &StackEvent,
    stack: &StackName,
    failures: &mut Vec<String>,
    progress: &dyn Progress,
) {
    let (Some(resource), Some(status)) = (event.logical_resource_id(), event.resource_status())
    else {
        return;
    };
    let status = status.as_str();
    if resource != stack.as_str() {
        let words = status.to_lowercase().replace('_', " ");
        progress.detail(&format!("{resource}: {words}"));
    }
    let reason = event.resource_status_reason().unwrap_or_default();
    // What was cancelled, or has no reason, failed because of something else.
    let own_failure = !reason.is_empty() && !reason.contains("cancelled");
    if status.ends_with("_FAILED") && own_failure && resource != stack.as_str() {
        failures.push(format!("`{resource}`: {reason}"));
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_cloudformation::types::ResourceStatus;

    use super::*;
    use crate::progress::Silent;

    #[test]
    fn what_a_failed_deployment_left_is_told_from_what_is_in_use() {
        for (status, found) in [
            ("CREATE_COMPLETE", Found::Settled),
            ("UPDATE_ROLLBACK_COMPLETE", Found::Settled),
            ("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", Found::Busy),
            ("CREATE_IN_PROGRESS", Found::Busy),
            ("REVIEW_IN_PROGRESS", Found::Nothing),
            ("ROLLBACK_COMPLETE", Found::Ruined),
            ("CREATE_FAILED", Found::Ruined),
            ("UPDATE_ROLLBACK_FAILED", Found::Stuck),
        ] {
            assert_eq!(Found::of_status(status), found, "{status}");
        }
    }

    #[test]
    fn a_failure_is_told_once_and_with_its_reason() {
        let stack: StackName = "demo".parse().unwrap();
        let mut failures = Vec::new();
        for (resource, status, reason) in [
            ("Role", ResourceStatus::CreateComplete, ""),
            ("Function", ResourceStatus::CreateFailed, "no such key"),
            (
                "Api",
                ResourceStatus::CreateFailed,
                "Resource creation cancelled",
            ),
            ("demo", ResourceStatus::CreateFailed, "[Function] failed"),
        ] {
            let event = StackEvent::builder()
                .logical_resource_id(resource)
                .resource_status(status)
                .resource_status_reason(reason)
                .build();
            report(&event, &stack, &mut failures, &Silent);
        }
        let error = DeployError::Failed {
            stack,
            status: "ROLLBACK_COMPLETE".to_owned(),
            failures,
        };
        insta::assert_snapshot!(error, @"the stack `demo` ended in ROLLBACK_COMPLETE: `Function`: no such key");
    }

    #[test]
    fn the_template_fits_into_a_request_and_uses_no_aliases() {
        // CloudFormation's limit for a template in the request, and what its YAML leaves out.
        assert!(TEMPLATE.len() <= 51_200);
        let aliased = |line: &&str| {
            let value = line.split_once(": ").map_or("", |(_, value)| value);
            value.starts_with(['&', '*'])
        };
        assert_eq!(TEMPLATE.lines().find(aliased), None);
    }
}
