//! Classifies the statuses of a stack.

use aws_sdk_cloudformation::types::Stack as Description;
use curfew_core::stack_name::StackName;

use crate::STACK_TAG;

/// What a stack's status means for the next change set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StackState {
    /// There is no stack, or only a name that an interrupted deployment reserved.
    Absent,
    /// A deployment has ended; the stack can be updated.
    Stable,
    /// An operation is in progress.
    InProgress,
    /// A deployment failed, and the stack can only be removed.
    MustRecreate,
    /// CloudFormation could not roll back an update.
    RollbackFailed,
}

impl StackState {
    pub(super) fn of(stack: &Description) -> Self {
        Self::of_status(status(stack))
    }

    /// Groups the states that CloudFormation documents:
    /// <https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/view-stack-events.html>
    fn of_status(status: &str) -> Self {
        match status {
            "REVIEW_IN_PROGRESS" | "DELETE_COMPLETE" => Self::Absent,
            "ROLLBACK_COMPLETE" | "ROLLBACK_FAILED" | "CREATE_FAILED" | "DELETE_FAILED" => {
                Self::MustRecreate
            }
            "UPDATE_ROLLBACK_FAILED" => Self::RollbackFailed,
            _ if status.ends_with("_IN_PROGRESS") => Self::InProgress,
            _ => Self::Stable,
        }
    }
}

/// Describes a status from which a stack can't be updated.
pub(super) fn meaning(status: &str) -> &'static str {
    match status {
        "ROLLBACK_COMPLETE" => "its first deployment failed and was rolled back",
        "ROLLBACK_FAILED" => "its first deployment failed, and its rollback failed too",
        "CREATE_FAILED" => "its first deployment failed",
        "DELETE_FAILED" => "its removal failed halfway",
        "UPDATE_ROLLBACK_FAILED" => "an update failed, and its rollback failed too",
        _ => "a deployment or removal is in progress",
    }
}

pub(super) fn status(stack: &Description) -> &str {
    stack.stack_status().map_or("", |status| status.as_str())
}

pub(super) fn id(stack: &Description) -> String {
    stack
        .stack_id()
        .or(stack.stack_name())
        .unwrap_or_default()
        .to_owned()
}

pub(crate) fn is_ours(stack: &Description, name: &StackName) -> bool {
    // A reserved name has no tags on some emulators.
    StackState::of(stack) == StackState::Absent
        || stack
            .tags()
            .iter()
            .any(|tag| tag.key() == Some(STACK_TAG) && tag.value() == Some(name.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failed_deployments_must_be_recreated() {
        for (status, found) in [
            ("CREATE_COMPLETE", StackState::Stable),
            ("UPDATE_ROLLBACK_COMPLETE", StackState::Stable),
            (
                "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS",
                StackState::InProgress,
            ),
            ("CREATE_IN_PROGRESS", StackState::InProgress),
            ("DELETE_IN_PROGRESS", StackState::InProgress),
            ("REVIEW_IN_PROGRESS", StackState::Absent),
            ("ROLLBACK_COMPLETE", StackState::MustRecreate),
            ("CREATE_FAILED", StackState::MustRecreate),
            ("DELETE_FAILED", StackState::MustRecreate),
            ("UPDATE_ROLLBACK_FAILED", StackState::RollbackFailed),
        ] {
            assert_eq!(StackState::of_status(status), found, "{status}");
        }
    }
}
