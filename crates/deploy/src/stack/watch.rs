//! Watching a stack until nothing goes on any more, by its status and its events.

use std::collections::BTreeSet;
use std::time::Duration;

use aws_sdk_cloudformation::types::StackEvent;
use curfew_aws::error::CloudError;
use curfew_aws::pages::PageTokens;
use curfew_aws::progress::Progress;
use curfew_core::stack_name::StackName;
use tokio::time::{Instant, sleep};

use super::Stack;
use super::status::{Found, status};
use crate::DeployError;

/// Which events have been told, and how far that makes it.
#[derive(Clone, Debug, Default)]
pub(super) struct Watched {
    seen: BTreeSet<String>,
    done: usize,
    /// How many resources there are to be done, where that is known.
    all: Option<usize>,
    failures: Vec<String>,
}

impl Watched {
    pub(super) fn out_of(self, all: usize) -> Self {
        Self {
            all: Some(all),
            ..self
        }
    }

    /// `Function: create complete (3 of 24)`; and what failed, with CloudFormation's reason.
    fn tell(&mut self, event: &StackEvent, stack: &StackName, progress: &dyn Progress) {
        let (Some(resource), Some(status)) = (event.logical_resource_id(), event.resource_status())
        else {
            return;
        };
        if resource == stack.as_str() {
            return;
        }
        let status = status.as_str();
        let words = status.to_lowercase().replace('_', " ");
        let mut far = String::new();
        if status.ends_with("_COMPLETE") {
            self.done += 1;
            // What is replaced is counted again when the old one goes.
            if let Some(all) = self.all.filter(|all| self.done <= *all) {
                far = format!(" ({} of {all})", self.done);
            }
        }
        progress.detail(&format!("{resource}: {words}{far}"));
        let reason = event.resource_status_reason().unwrap_or_default();
        // What was cancelled, or has no reason, failed because of something else.
        let own_failure = !reason.is_empty() && !reason.contains("cancelled");
        if status.ends_with("_FAILED") && own_failure {
            self.failures.push(format!("`{resource}`: {reason}"));
        }
    }
}

impl Stack<'_> {
    /// The slowest resource is the role, which takes AWS half a minute. Ten minutes without an end is no progress any more.
    pub(super) const LIMIT: Duration = Duration::from_mins(10);

    /// Watches from here on: what has happened so far is not told.
    pub(super) async fn watched(&self, stack_id: &str) -> Result<Watched, CloudError> {
        let before = self.events(stack_id, &BTreeSet::new()).await?;
        Ok(Watched {
            seen: before.iter().filter_map(event_id).collect(),
            ..Watched::default()
        })
    }

    /// Waits until nothing is going on any more; answers with the status and with what failed while `watched`.
    pub(super) async fn wait(
        &self,
        stack_id: &str,
        watched: Option<Watched>,
        progress: &dyn Progress,
    ) -> Result<(String, Vec<String>), DeployError> {
        let mut watched = watched;
        let deadline = Instant::now() + Self::LIMIT;
        while Instant::now() < deadline {
            // Before the events, so that the last of them is not missed.
            let stack = self.describe_by(stack_id).await?;
            if let (Some(watched), Some(_)) = (&mut watched, &stack) {
                for event in self.events(stack_id, &watched.seen).await?.iter().rev() {
                    watched.seen.extend(event_id(event));
                    watched.tell(event, self.name, progress);
                }
            }
            let busy = stack.as_ref().is_some_and(|s| Found::of(s) == Found::Busy);
            if !busy {
                let status = stack.as_ref().map_or("DELETE_COMPLETE", status).to_owned();
                return Ok((status, watched.unwrap_or_default().failures));
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
        let mut pages = PageTokens::new("cloudformation:DescribeStackEvents");
        let mut token = None;
        loop {
            let page = self
                .client
                .describe_stack_events()
                .stack_name(stack_id)
                .set_next_token(token)
                .send()
                .await
                .map_err(|error| {
                    CloudError::from_sdk("cloudformation:DescribeStackEvents", error)
                })?;
            for event in page.stack_events.unwrap_or_default() {
                if event_id(&event).is_some_and(|id| seen.contains(&id)) {
                    return Ok(events);
                }
                events.push(event);
            }
            token = pages.follow(page.next_token)?;
            if token.is_none() {
                return Ok(events);
            }
        }
    }

    pub(super) fn too_slow(&self) -> DeployError {
        DeployError::TooSlow {
            stack: self.name.clone(),
            minutes: Self::LIMIT.as_secs() / 60,
        }
    }
}

fn event_id(event: &StackEvent) -> Option<String> {
    event.event_id().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use aws_sdk_cloudformation::types::ResourceStatus;

    use super::*;
    use crate::recorder::Recorder;

    fn told(events: &[(&str, ResourceStatus, &str)]) -> (Watched, String) {
        let stack: StackName = "demo".parse().unwrap();
        let mut watched = Watched::default().out_of(2);
        let lines = Recorder::default();
        for (resource, status, reason) in events {
            let event = StackEvent::builder()
                .logical_resource_id(*resource)
                .resource_status(status.clone())
                .resource_status_reason(*reason)
                .build();
            watched.tell(&event, &stack, &lines);
        }
        (watched, lines.into_text())
    }

    #[test]
    fn a_failure_is_told_once_and_with_its_reason() {
        let (watched, _) = told(&[
            ("Role", ResourceStatus::CreateComplete, ""),
            ("Function", ResourceStatus::CreateFailed, "no such key"),
            (
                "Api",
                ResourceStatus::CreateFailed,
                "Resource creation cancelled",
            ),
            ("demo", ResourceStatus::CreateFailed, "[Function] failed"),
        ]);
        let error = DeployError::Failed {
            stack: "demo".parse().unwrap(),
            status: "ROLLBACK_COMPLETE".to_owned(),
            failures: watched.failures,
        };
        insta::assert_snapshot!(error, @"the stack `demo` ended in ROLLBACK_COMPLETE: `Function`: no such key");
    }

    #[test]
    fn each_resource_is_told_and_how_far_that_makes_it() {
        let (_, lines) = told(&[
            ("demo", ResourceStatus::UpdateInProgress, ""),
            ("Role", ResourceStatus::CreateInProgress, ""),
            ("Role", ResourceStatus::CreateComplete, ""),
            ("Function", ResourceStatus::UpdateComplete, ""),
            ("OldRole", ResourceStatus::DeleteComplete, ""),
        ]);
        insta::assert_snapshot!(lines, @"
          Role: create in progress
          Role: create complete (1 of 2)
          Function: update complete (2 of 2)
          OldRole: delete complete
        ");
    }
}
