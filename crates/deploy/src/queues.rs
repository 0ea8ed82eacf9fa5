//! The queues of a stack: their names, and advice about the messages in them.

use std::time::Duration;

use curfew_aws::error::CloudError;
use curfew_core::stack_name::StackName;

/// How often a daemon counts the dead letters. A message becomes one after several attempts, which take minutes. Three calls each time are
/// 26,000 a month, about a cent.
pub const COUNT_INTERVAL: Duration = Duration::from_mins(5);

/// A queue of the stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StackQueue {
    /// EC2's state changes, for the daemon.
    StateChanges,
    /// State changes that the daemon could not read.
    UnreadStateChanges,
    /// Passes for the Lambda to make.
    Work,
    /// Passes that failed at every attempt.
    UndoneWork,
    /// Invocations that failed at every attempt.
    FailedInvocations,
}

impl StackQueue {
    /// The dead-letter queues, the most informative first. Messages stay until they are removed by hand, or by SQS after two weeks.
    pub const DEAD_LETTERS: [Self; 3] = [
        Self::FailedInvocations,
        Self::UndoneWork,
        Self::UnreadStateChanges,
    ];

    /// Returns the queue's name in this stack.
    pub fn name(self, stack: &StackName) -> String {
        let suffix = match self {
            Self::StateChanges => "state-changes",
            Self::UnreadStateChanges => "unread-state-changes",
            Self::FailedInvocations => "failed-invocations",
            Self::Work => "work.fifo",
            Self::UndoneWork => "undone-work.fifo",
        };
        format!("{}-{suffix}", stack.prefix())
    }

    /// Returns what messages in this queue mean and what to do; for the queues that Curfew reads, about messages that stay unread.
    pub fn advice(self) -> &'static str {
        match self {
            Self::FailedInvocations => {
                "invocations failed three times: the messages in `…-failed-invocations` hold the event and the error"
            }
            Self::UndoneWork => {
                "the function crashed or ran out of time three times: the messages in `…-undone-work.fifo` name the account and region, its log says why"
            }
            Self::UnreadStateChanges => {
                "the daemon could not read state changes: its log names those in `…-unread-state-changes`"
            }
            Self::Work => "the Lambda does not keep up: check its errors and throttles",
            Self::StateChanges => {
                "no daemon reads the state changes; they are dropped after four days"
            }
        }
    }
}

/// Whether the error says that the queue does not exist: the stack is gone, or older than the queue.
pub fn queue_does_not_exist(error: &CloudError) -> bool {
    let code = error.code.as_deref().unwrap_or_default();
    code.ends_with("QueueDoesNotExist") || code.ends_with("NonExistentQueue")
}
