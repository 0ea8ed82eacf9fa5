//! Waits until an operation on a stack has ended, and reports the stack's events.

use std::collections::BTreeSet;
use std::time::Duration;

use aws_sdk_cloudformation::types::StackEvent;
use curfew_aws::error::CloudError;
use curfew_aws::pages::PageTokens;
use curfew_aws::progress::Progress;
use curfew_core::stack_name::StackName;
use tokio::time::{Instant, sleep};

use super::Stack;
use super::status::{StackState, status};
use crate::DeployError;

/// Which events have been reported, and the counts of resources.
#[derive(Clone, Debug, Default)]
pub(super) struct EventCursor {
    reported: BTreeSet<String>,
    done: usize,
    /// How many resources change, if known.
    all: Option<usize>,
    failures: Vec<String>,
}

impl EventCursor {
    pub(super) fn out_of(self, all: usize) -> Self {
        Self {
            all: Some(all),
            ..self
        }
    }

    /// Reports an event as `Function: create complete (3 of 24)`, and records failures with CloudFormation's reason.
    fn report(&mut self, event: &StackEvent, stack: &StackName, progress: &dyn Progress) {
        let (Some(resource), Some(status)) = (event.logical_resource_id(), event.resource_status())
        else {
            return;
        };
        if resource == stack.as_str() {
            return;
        }
        let status = status.as_str();
        let words = status.to_lowercase().replace('_', " ");
        let mut count = String::new();
        if status.ends_with("_COMPLETE") {
            self.done += 1;
            // The deletion of a replaced resource is one more event.
            if let Some(all) = self.all.filter(|all| self.done <= *all) {
                count = format!(" ({} of {all})", self.done);
            }
        }
        progress.detail(&format!("{resource}: {words}{count}"));
        let reason = event.resource_status_reason().unwrap_or_default();
        // A cancelled resource, or one without a reason, failed because of another one.
        let is_cause = !reason.is_empty() && !reason.contains("cancelled");
        if status.ends_with("_FAILED") && is_cause {
            self.failures.push(format!("`{resource}`: {reason}"));
        }
    }
}

impl Stack<'_> {
    /// How long an operation may take. The slowest resource is the role, which takes AWS half a minute.
    pub(super) const LIMIT: Duration = Duration::from_mins(10);

    /// Returns a cursor after the events so far, which are not reported.
    pub(super) async fn event_cursor(&self, stack_id: &str) -> Result<EventCursor, CloudError> {
        let before = self.events(stack_id, &BTreeSet::new()).await?;
        Ok(EventCursor {
            reported: before.iter().filter_map(event_id).collect(),
            ..EventCursor::default()
        })
    }

    /// Waits until no operation is in progress, and reports the events after `cursor`. Returns the status and the failures.
    pub(super) async fn wait(
        &self,
        stack_id: &str,
        cursor: Option<EventCursor>,
        progress: &dyn Progress,
    ) -> Result<(String, Vec<String>), DeployError> {
        let mut cursor = cursor;
        let deadline = Instant::now() + Self::LIMIT;
        while Instant::now() < deadline {
            // The status first, so that the last events are not missed.
            let stack = self.describe_by(stack_id).await?;
            if let (Some(cursor), Some(_)) = (&mut cursor, &stack) {
                for event in self.events(stack_id, &cursor.reported).await?.iter().rev() {
                    cursor.reported.extend(event_id(event));
                    cursor.report(event, self.name, progress);
                }
            }
            let busy = stack
                .as_ref()
                .is_some_and(|s| StackState::of(s) == StackState::InProgress);
            if !busy {
                let status = stack.as_ref().map_or("DELETE_COMPLETE", status).to_owned();
                return Ok((status, cursor.unwrap_or_default().failures));
            }
            sleep(self.poll).await;
        }
        Err(self.timed_out())
    }

    /// The events that are not in `reported`, newest first.
    async fn events(
        &self,
        stack_id: &str,
        reported: &BTreeSet<String>,
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
                if event_id(&event).is_some_and(|id| reported.contains(&id)) {
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

    pub(super) fn timed_out(&self) -> DeployError {
        DeployError::TimedOut {
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

    fn report_all(events: &[(&str, ResourceStatus, &str)]) -> (EventCursor, String) {
        let stack: StackName = "demo".parse().unwrap();
        let mut cursor = EventCursor::default().out_of(2);
        let lines = Recorder::default();
        for (resource, status, reason) in events {
            let event = StackEvent::builder()
                .logical_resource_id(*resource)
                .resource_status(status.clone())
                .resource_status_reason(*reason)
                .build();
            cursor.report(&event, &stack, &lines);
        }
        (cursor, lines.into_text())
    }

    #[test]
    fn a_failure_is_reported_once_with_its_reason() {
        let (cursor, _) = report_all(&[
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
            failures: cursor.failures,
        };
        insta::assert_snapshot!(error, @"the stack `demo` ended in ROLLBACK_COMPLETE: `Function`: no such key");
    }

    #[test]
    fn events_are_reported_with_a_count() {
        let (_, lines) = report_all(&[
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
