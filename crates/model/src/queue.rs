//! SQS queues: received messages are hidden, become visible again if not deleted, and go to the dead-letter queue after
//! too many receives. Standard queues deliver at least once, in no guaranteed order. FIFO queues deliver each group in
//! order, and no duplicate within five minutes.
//!
//! Sources: *Amazon SQS visibility timeout*, *FIFO queue delivery logic*, *Exactly-once processing*, *Using dead-letter
//! queues*, *Message quotas* (SQS Developer Guide); the API Reference of each action. A subscribed queue receives the
//! state changes of its account and region.

use std::collections::{BTreeMap, HashMap};

use jiff::{SignedDuration, Timestamp};

use crate::action::ApiAction;
use crate::error::ModelError;
use crate::ids::Home;

/// The attributes of a queue; the defaults are those of `CreateQueue`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueAttributes {
    /// The visibility timeout.
    pub visibility: SignedDuration,
    /// The retention period.
    pub retention: SignedDuration,
    /// The dead-letter queue and its threshold.
    pub redrive: Option<Redrive>,
    /// The type of the queue.
    pub order: QueueType,
}

/// The type of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum QueueType {
    /// At least once, in no guaranteed order.
    #[default]
    Standard,
    /// `FifoQueue`, with `DeduplicationScope` and `FifoThroughputLimit` set to the group: in order within a group, and
    /// without duplicates of a deduplication id of the group for five minutes.
    Fifo,
}

impl Default for QueueAttributes {
    fn default() -> Self {
        Self {
            visibility: SignedDuration::from_secs(30),
            retention: SignedDuration::from_hours(4 * 24),
            redrive: None,
            order: QueueType::Standard,
        }
    }
}

/// The `RedrivePolicy` of a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redrive {
    /// `maxReceiveCount`: a message received this often moves to the dead-letter queue.
    pub max_receives: u32,
    /// The URL of the dead-letter queue.
    pub dead_letters: String,
}

/// A message in a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelQueueMessage {
    /// The id, which does not change between receives.
    pub id: String,
    /// The body of the message.
    pub body: String,
    /// The time of sending.
    pub sent_at: Timestamp,
    /// The number of receives.
    pub receives: u32,
    /// The end of the time that it is hidden.
    pub visible_at: Timestamp,
    /// `MessageGroupId`, in a FIFO queue.
    pub group: Option<String>,
}

impl ModelQueueMessage {
    /// Returns the receipt handle, which differs at each receive.
    pub fn receipt(&self) -> String {
        format!("{}/{}", self.id, self.receives)
    }
}

/// A call of SQS, with the URL of its queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QueueCall {
    /// Sends a message.
    Send {
        /// The URL of the queue.
        url: String,
        /// The message body.
        entry: MessageEntry,
    },
    /// Sends several messages.
    SendBatch {
        /// The URL of the queue.
        url: String,
        /// The messages to send.
        entries: Vec<MessageEntry>,
    },
    /// Receives messages, which remain hidden in the queue.
    Receive {
        /// The URL of the queue.
        url: String,
        /// The maximum number of messages.
        max: i64,
        /// The visibility timeout in seconds, if not the queue's.
        visibility: Option<u32>,
        /// The long-poll wait in seconds. Only a call over HTTP waits.
        wait: u32,
    },
    /// Deletes a message.
    Delete {
        /// The URL of the queue.
        url: String,
        /// The receipt handle of the message.
        receipt: String,
    },
    /// Deletes several messages, by the ids of their entries.
    DeleteBatch {
        /// The URL of the queue.
        url: String,
        /// Entry id and receipt handle.
        entries: Vec<(String, String)>,
    },
    /// Changes the visibility timeout of a message; 0 makes it visible.
    ChangeVisibility {
        /// The URL of the queue.
        url: String,
        /// The receipt handle of the message.
        receipt: String,
        /// The timeout in seconds from now.
        seconds: u32,
    },
    /// Gets the URL of a queue.
    Url {
        /// The name of the queue.
        name: String,
    },
    /// Gets the number of messages.
    Counts {
        /// The URL of the queue.
        url: String,
    },
}

/// A message to send.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MessageEntry {
    /// The entry id in a batch.
    pub name: String,
    /// The message body.
    pub body: String,
    /// The delay in seconds.
    pub delay: u32,
    /// The `MessageGroupId`, required for a FIFO queue.
    pub group: Option<String>,
    /// The `MessageDeduplicationId`, required for a FIFO queue.
    pub deduplication: Option<String>,
}

impl QueueCall {
    /// The maximum wait of a long poll.
    pub(crate) fn wait(&self) -> std::time::Duration {
        match self {
            Self::Receive { wait, .. } => std::time::Duration::from_secs((*wait).into()),
            _ => std::time::Duration::ZERO,
        }
    }

    pub(crate) fn action(&self) -> ApiAction {
        match self {
            Self::Send { .. } => ApiAction::SendMessage,
            Self::SendBatch { .. } => ApiAction::SendMessageBatch,
            Self::Receive { .. } => ApiAction::ReceiveMessage,
            Self::Delete { .. } => ApiAction::DeleteMessage,
            Self::DeleteBatch { .. } => ApiAction::DeleteMessageBatch,
            Self::ChangeVisibility { .. } => ApiAction::ChangeMessageVisibility,
            Self::Url { .. } => ApiAction::GetQueueUrl,
            Self::Counts { .. } => ApiAction::GetQueueAttributes,
        }
    }
}

/// The result of a batch, by entry id.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BatchResult {
    /// Successful entries; with the message id for a send.
    pub done: Vec<(String, Option<String>)>,
    /// The failed entries, with their errors.
    pub failed: Vec<(String, ModelError)>,
}

/// The number of messages in a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueCounts {
    /// Messages that can be received: `ApproximateNumberOfMessages`.
    pub visible: usize,
    /// `ApproximateNumberOfMessagesNotVisible`: received and not deleted.
    pub in_flight: usize,
    /// `ApproximateNumberOfMessagesDelayed`: not visible yet.
    pub delayed: usize,
}

#[derive(Debug)]
pub(crate) struct SqsQueue {
    pub(crate) home: Home,
    pub(crate) configuration: QueueAttributes,
    pub(crate) subscribed: bool,
    pub(crate) messages: Vec<ModelQueueMessage>,
    /// Recent deduplication ids of a FIFO queue, by group and id: the message id and time.
    pub(crate) sent: HashMap<(String, String), (String, Timestamp)>,
}

/// All queues by URL.
pub(crate) type SqsQueues = BTreeMap<String, SqsQueue>;
