//! What a stack's status allows.

use aws_sdk_cloudformation::types::Stack as Description;
use curfew_core::stack_name::StackName;

use crate::MARK;

/// What has to happen before a change set can be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// There is none, or only a name that an interrupted deployment reserved.
    Nothing,
    /// It is as a deployment left it.
    Settled,
    /// Something is going on.
    Busy,
    /// A deployment failed; nothing can be done with it but removing it.
    Ruined,
    /// CloudFormation could not undo an update.
    Stuck,
}

impl Found {
    pub(super) fn of(stack: &Description) -> Self {
        Self::of_status(status(stack))
    }

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

/// What a status from which a stack can't be updated says, in words.
pub(super) fn meaning(status: &str) -> &'static str {
    match status {
        "ROLLBACK_COMPLETE" => "its first deployment failed and was undone",
        "ROLLBACK_FAILED" => "its first deployment failed, and undoing it did too",
        "CREATE_FAILED" => "its first deployment failed",
        "DELETE_FAILED" => "its removal failed halfway",
        "UPDATE_ROLLBACK_FAILED" => "an update failed, and undoing it did too",
        _ => "a deployment or removal is under way",
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
    // A name that was only reserved carries no tags on every cloud.
    Found::of(stack) == Found::Nothing
        || stack
            .tags()
            .iter()
            .any(|tag| tag.key() == Some(MARK) && tag.value() == Some(name.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_failed_deployment_left_is_told_from_what_is_in_use() {
        for (status, found) in [
            ("CREATE_COMPLETE", Found::Settled),
            ("UPDATE_ROLLBACK_COMPLETE", Found::Settled),
            ("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", Found::Busy),
            ("CREATE_IN_PROGRESS", Found::Busy),
            ("DELETE_IN_PROGRESS", Found::Busy),
            ("REVIEW_IN_PROGRESS", Found::Nothing),
            ("ROLLBACK_COMPLETE", Found::Ruined),
            ("CREATE_FAILED", Found::Ruined),
            ("DELETE_FAILED", Found::Ruined),
            ("UPDATE_ROLLBACK_FAILED", Found::Stuck),
        ] {
            assert_eq!(Found::of_status(status), found, "{status}");
        }
    }
}
