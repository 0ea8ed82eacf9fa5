//! Queues as SQS has them: messages that hide while somebody works on them, come back when nobody said that it is done, and end
//! with the dead letters when they came back too often. Standard queues: at least once, in no promised order. FIFO queues: of each group
//! one after the other, and none twice within five minutes.
//!
//! Sources: *Amazon SQS visibility timeout*, *FIFO queue delivery logic*, *Exactly-once processing*, *Using dead-letter queues*, *Message quotas* (SQS Developer Guide); the API Reference
//! of each action. What stands in a queue can come from EC2: a queue that listens gets the state changes of its account and region.

use std::collections::{BTreeMap, HashMap};

use jiff::{SignedDuration, Timestamp};

use crate::action::ApiAction;
use crate::error::ApiError;
use crate::ids::Home;

/// How a queue behaves; the defaults are those of `CreateQueue`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueAttributes {
    /// How long a received message stays hidden.
    pub visibility: SignedDuration,
    /// How long a message is kept.
    pub retention: SignedDuration,
    /// Where a message goes that was received too often.
    pub redrive: Option<Redrive>,
    /// In which order messages are received.
    pub order: QueueType,
}

/// The two types of queues.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum QueueType {
    /// None that is promised, and each message at least once.
    #[default]
    Standard,
    /// `FifoQueue`, with `DeduplicationScope` and `FifoThroughputLimit` set to the group: of each group one after the other, and for five
    /// minutes nothing with the deduplication id of another message of the group.
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

/// `RedrivePolicy`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redrive {
    /// A message that was received this often is not received again.
    pub max_receives: u32,
    /// The address of the queue that gets it instead.
    pub dead_letters: String,
}

/// A message in a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueMessage {
    /// The same however often it is received.
    pub id: String,
    /// What was sent.
    pub body: String,
    /// When it was sent.
    pub sent_at: Timestamp,
    /// How often it was received.
    pub receives: u32,
    /// Until then it is hidden.
    pub visible_at: Timestamp,
    /// `MessageGroupId`, in a FIFO queue.
    pub group: Option<String>,
}

impl QueueMessage {
    /// What its receiver has to show to delete it: another one at each receipt.
    pub fn receipt(&self) -> String {
        format!("{}/{}", self.id, self.receives)
    }
}

/// A call of SQS, with the address of the queue that it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QueueCall {
    /// Adds a message.
    Send {
        /// The queue.
        url: String,
        /// The message.
        entry: MessageEntry,
    },
    /// Adds several.
    SendBatch {
        /// The queue.
        url: String,
        /// The messages.
        entries: Vec<MessageEntry>,
    },
    /// Takes messages, which stay in the queue, hidden.
    Receive {
        /// The queue.
        url: String,
        /// At most this many.
        max: i64,
        /// For how many seconds they are hidden, if not for as long as the queue says.
        visibility: Option<u32>,
        /// For how many seconds to wait for a first one. Only a call over HTTP waits.
        wait: u32,
    },
    /// Says that the work on a message is done.
    Delete {
        /// The queue.
        url: String,
        /// Its receipt.
        receipt: String,
    },
    /// The same for several, by their entries' names.
    DeleteBatch {
        /// The queue.
        url: String,
        /// Name and receipt.
        entries: Vec<(String, String)>,
    },
    /// Hides a message for longer, or (for no seconds) shows it again.
    ChangeVisibility {
        /// The queue.
        url: String,
        /// Its receipt.
        receipt: String,
        /// From now.
        seconds: u32,
    },
    /// Asks for a queue's address.
    Url {
        /// The queue's name.
        name: String,
    },
    /// Asks how full it is.
    Counts {
        /// The queue.
        url: String,
    },
}

/// A message to send.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MessageEntry {
    /// Its name in a batch.
    pub name: String,
    /// The message.
    pub body: String,
    /// How many seconds it is hidden at first.
    pub delay: u32,
    /// `MessageGroupId`.
    pub group: Option<String>,
    /// `MessageDeduplicationId`.
    pub deduplication: Option<String>,
}

impl QueueCall {
    /// How long a long poll may last.
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

/// What became of a batch: by the names of its entries.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BatchResult {
    /// Done; a sent message's id, else nothing more to say.
    pub done: Vec<(String, Option<String>)>,
    /// Refused.
    pub failed: Vec<(String, ApiError)>,
}

/// How full a queue is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueCounts {
    /// `ApproximateNumberOfMessages`: to be had now.
    pub visible: usize,
    /// `ApproximateNumberOfMessagesNotVisible`: somebody works on them.
    pub in_flight: usize,
    /// `ApproximateNumberOfMessagesDelayed`: not to be had yet.
    pub delayed: usize,
}

/// A queue.
#[derive(Debug)]
pub(crate) struct SqsQueue {
    pub(crate) home: Home,
    pub(crate) configuration: QueueAttributes,
    pub(crate) subscribed: bool,
    pub(crate) messages: Vec<QueueMessage>,
    /// What was sent to a FIFO queue lately, by group and deduplication id: the message and when.
    pub(crate) sent: HashMap<(String, String), (String, Timestamp)>,
}

/// Every queue by its address.
pub(crate) type SqsQueues = BTreeMap<String, SqsQueue>;
