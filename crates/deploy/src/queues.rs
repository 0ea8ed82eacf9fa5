//! The queues of a stack: their names, and what a message in each of them means.

use std::time::Duration;

use curfew_aws::error::CloudError;
use curfew_core::stack_name::StackName;

/// How often a daemon asks the queues of dead letters for their counts. A message is dead after several tries only, which take minutes
/// themselves; three calls each time are 26,000 a month, which is a cent (`guard/cost.rs`). Twice as often is two.
pub const COUNT_INTERVAL: Duration = Duration::from_mins(5);

/// A queue of the stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StackQueue {
    /// EC2's state changes, for the daemon.
    StateChanges,
    /// Those that it could not read.
    UnreadStateChanges,
    /// Passes to be made, for the Lambda.
    Work,
    /// Those that failed again and again.
    UndoneWork,
    /// Invocations that failed again and again.
    FailedInvocations,
}

impl StackQueue {
    /// The queues of dead letters: what is in them stays there until a person removes it, or SQS does after two weeks. The first
    /// has the most to say.
    pub const DEAD_LETTERS: [Self; 3] = [
        Self::FailedInvocations,
        Self::UndoneWork,
        Self::UnreadStateChanges,
    ];

    /// What the queue of this stack is called.
    pub fn name(self, stack: &StackName) -> String {
        let own = match self {
            Self::StateChanges => "state-changes",
            Self::UnreadStateChanges => "unread-state-changes",
            Self::FailedInvocations => "failed-invocations",
            Self::Work => "work.fifo",
            Self::UndoneWork => "undone-work.fifo",
        };
        format!("{}-{own}", stack.prefix())
    }

    /// How to deal with messages in this queue; for the queues that Curfew reads, with messages that stay unread.
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
            Self::Work => "the Lambda does not keep up: look at its errors and throttles",
            Self::StateChanges => {
                "no daemon reads the state changes; they are dropped after four days"
            }
        }
    }
}

/// Whether there is no queue of that name, or none any more: it comes and goes with the stack, and older stacks have fewer.
pub fn is_no_queue(error: &CloudError) -> bool {
    let code = error.code.as_deref().unwrap_or_default();
    code.ends_with("QueueDoesNotExist") || code.ends_with("NonExistentQueue")
}
