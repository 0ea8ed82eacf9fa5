//! The channels between the tasks. Each end belongs to one kind of task and outlives the task's restarts.

use curfew_journal::EdgeRecord;
use tokio::sync::{mpsc, watch};

use super::polling::PollHint;
use crate::transitions::InstanceObservation;

/// Capacity of the observation channel. An observation may hold a complete fleet; when the channel is full, its source waits
/// and nothing is dropped.
const OBSERVATIONS: usize = 4;

/// The progress of a queue message of state changes towards its deletion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ack {
    /// An event was received with this message; the newest receipt handle counts.
    Received {
        event: String,
        /// The message's receipt handle.
        handle: String,
    },
    /// The event needs no further processing.
    Finished { event: String },
    /// The message can't be used.
    Poison {
        /// The message's receipt handle.
        handle: String,
    },
}

/// The sending ends of the watch task.
#[derive(Debug)]
pub(crate) struct WatchSenders {
    pub(crate) hint: watch::Sender<PollHint>,
    /// Whether the journal can be written. While it can't, messages stay in their queue.
    pub(crate) writable: watch::Sender<bool>,
    pub(crate) acks: mpsc::UnboundedSender<Ack>,
}

/// The receiving ends of the watch task.
#[derive(Debug)]
pub(crate) struct WatchReceivers {
    pub(crate) observations: mpsc::Receiver<InstanceObservation>,
    pub(crate) edges: mpsc::UnboundedReceiver<Vec<EdgeRecord>>,
}

/// The ends that belong to the other tasks.
#[derive(Debug)]
pub(crate) struct TaskChannels {
    pub(crate) observations: mpsc::Sender<InstanceObservation>,
    pub(crate) edges: mpsc::UnboundedSender<Vec<EdgeRecord>>,
    pub(crate) hint: watch::Receiver<PollHint>,
    pub(crate) writable: watch::Receiver<bool>,
    pub(crate) acks: mpsc::UnboundedReceiver<Ack>,
}

/// Creates both ends of every channel.
pub(crate) fn channels() -> (WatchSenders, WatchReceivers, TaskChannels) {
    // Before the first observation, an instance may be changing its state.
    let (hint_sender, hint) = watch::channel(PollHint {
        in_flight: true,
        events_flowing: false,
    });
    let (writable_sender, writable) = watch::channel(true);
    let (ack_sender, acks) = mpsc::unbounded_channel();
    let (observations, observation_receiver) = mpsc::channel(OBSERVATIONS);
    let (edges, edge_receiver) = mpsc::unbounded_channel();
    let senders = WatchSenders {
        hint: hint_sender,
        writable: writable_sender,
        acks: ack_sender,
    };
    let receivers = WatchReceivers {
        observations: observation_receiver,
        edges: edge_receiver,
    };
    let tasks = TaskChannels {
        observations,
        edges,
        hint,
        writable,
        acks,
    };
    (senders, receivers, tasks)
}
