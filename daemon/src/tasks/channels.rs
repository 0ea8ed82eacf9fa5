//! The channels between the tasks. Each end is held by one kind of task, and outlives its restarts.

use curfew_journal::EdgeRecord;
use tokio::sync::{mpsc, watch};

use super::polling::PollHint;
use crate::transitions::InstanceObservation;

/// Observations that may wait for the journal. Each may be a whole fleet: then its source waits, and nothing is dropped.
const OBSERVATIONS: usize = 4;

/// Progress of a message of the queue of state changes, towards its deletion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ack {
    /// An event was received with it: the newest is the one that counts.
    Received {
        /// The event.
        event: String,
        /// The message's receipt handle.
        handle: String,
    },
    /// Nothing more is to become of the event.
    Finished {
        /// The event.
        event: String,
    },
    /// The message is of no use.
    Poison {
        /// The message's receipt handle.
        handle: String,
    },
}

/// What the watch task sends.
#[derive(Debug)]
pub(crate) struct WatchSenders {
    pub(crate) hint: watch::Sender<PollHint>,
    /// Whether the journal can be written. While it can't, messages are safer in their queue.
    pub(crate) writable: watch::Sender<bool>,
    pub(crate) acks: mpsc::UnboundedSender<Ack>,
}

/// What the watch task receives.
#[derive(Debug)]
pub(crate) struct WatchReceivers {
    pub(crate) observations: mpsc::Receiver<InstanceObservation>,
    pub(crate) edges: mpsc::UnboundedReceiver<Vec<EdgeRecord>>,
}

/// The ends that the other tasks hold.
#[derive(Debug)]
pub(crate) struct TaskChannels {
    pub(crate) observations: mpsc::Sender<InstanceObservation>,
    pub(crate) edges: mpsc::UnboundedSender<Vec<EdgeRecord>>,
    pub(crate) hint: watch::Receiver<PollHint>,
    pub(crate) writable: watch::Receiver<bool>,
    pub(crate) acks: mpsc::UnboundedReceiver<Ack>,
}

/// Both ends of every channel.
pub(crate) fn channels() -> (WatchSenders, WatchReceivers, TaskChannels) {
    // Before the first observation, an instance may well be changing its state.
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
