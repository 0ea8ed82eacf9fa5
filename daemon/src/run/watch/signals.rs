//! What the watch task tells its sources: how to poll, whether the journal takes anything, and what becomes of messages.

use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use super::polling::Mood;
use super::queue::Receipt;

/// The watch task's ends of what it shares with the sources.
#[derive(Clone, Debug)]
pub(in crate::run) struct Signals {
    /// How polling is to go about it.
    pub(super) mood: Arc<watch::Sender<Mood>>,
    /// Whether the journal takes what is received.
    pub(super) writable: Arc<watch::Sender<bool>>,
    /// What becomes of messages.
    pub(in crate::run) receipts: mpsc::UnboundedSender<Receipt>,
}

/// The other ends.
pub(in crate::run) struct Listening {
    pub(in crate::run) mood: watch::Receiver<Mood>,
    pub(in crate::run) writable: watch::Receiver<bool>,
    pub(in crate::run) receipts: mpsc::UnboundedReceiver<Receipt>,
}

/// Both.
pub(in crate::run) fn signals() -> (Signals, Listening) {
    // Before the watch task has seen anything, something may well be under way.
    let (mood, how_to_poll) = watch::channel(Mood {
        busy: true,
        told: false,
    });
    let (writable, may_receive) = watch::channel(true);
    let (receipts, dealt_with) = mpsc::unbounded_channel();
    let signals = Signals {
        mood: Arc::new(mood),
        writable: Arc::new(writable),
        receipts,
    };
    let listening = Listening {
        mood: how_to_poll,
        writable: may_receive,
        receipts: dealt_with,
    };
    (signals, listening)
}
