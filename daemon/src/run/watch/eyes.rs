//! What passes and polling do for each other: both look at everything, and one of them at a time is enough.

use std::sync::Arc;

use tokio::sync::{Notify, mpsc, watch};
use tokio::time::Instant;

use super::source::{Look, Seen};

/// Where a pass shows what it has seen, and polling learns that it need not look. Clones are the same.
#[derive(Clone, Debug)]
pub(in crate::run) struct Eyes {
    seen: mpsc::Sender<Seen>,
    newest: watch::Sender<Option<Instant>>,
    nudge: Arc<Notify>,
}

impl Eyes {
    /// What is shown goes to `seen`.
    pub(in crate::run) fn new(seen: mpsc::Sender<Seen>) -> Self {
        Self {
            seen,
            newest: watch::Sender::new(None),
            nudge: Arc::default(),
        }
    }

    /// Shows a look at everything that was begun at `begun`, unless it is outdated or would have to wait: then polling looks.
    pub(in crate::run) fn show(&self, begun: Instant, looks: Vec<Look>) {
        if let Ok(place) = self.seen.try_reserve()
            && self.has_news(begun)
        {
            place.send(Seen::Everything(looks));
        }
    }

    /// Whether nobody has shown a look that was begun later; from now on, this one has been.
    pub(super) fn has_news(&self, begun: Instant) -> bool {
        self.newest.send_if_modified(|newest| {
            let news = newest.is_none_or(|newest| newest < begun);
            if news {
                *newest = Some(begun);
            }
            news
        })
    }

    /// When the newest look was begun that somebody has shown.
    pub(super) fn newest(&self) -> watch::Receiver<Option<Instant>> {
        self.newest.subscribe()
    }

    /// Something has just been changed: polling looks at once.
    pub(in crate::run) fn nudge(&self) {
        self.nudge.notify_one();
    }

    /// Waits for that.
    pub(super) async fn nudged(&self) {
        self.nudge.notified().await;
    }
}
