//! Whether EC2 reports changes by events, so that a change that a poll finds waits for them.

use jiff::{SignedDuration, Timestamp};

/// An event is in the queue within a second or two of its change; a poll that finds the change first waits this long for it.
const DELIVERY_DELAY: SignedDuration = SignedDuration::from_secs(5);
/// The queue is read every 20 seconds. A queue that has not responded for this long does not count as an event stream.
const STALE_AFTER: SignedDuration = SignedDuration::from_mins(2);

/// How long messages stay invisible that another daemon had received when it was killed.
pub(crate) const VISIBILITY_TIMEOUT: SignedDuration = SignedDuration::from_secs(30);

/// The state of the stream of events.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum EventStream {
    /// There is no queue.
    #[default]
    Absent,
    /// A queue delivers events.
    Queue {
        /// Whether it has ever delivered an event: emulators have queues, and no events of EC2.
        has_delivered: bool,
        /// When it was first read.
        begun: Timestamp,
        /// When it last responded; before that, when it was first read.
        answered: Timestamp,
        /// When it was last found empty.
        drained: Option<Timestamp>,
    },
}

impl EventStream {
    /// Returns the stream of a queue that is read from `now` on.
    pub(crate) fn of_queue(has_delivered: bool, now: Timestamp) -> Self {
        Self::Queue {
            has_delivered,
            begun: now,
            answered: now,
            drained: None,
        }
    }

    /// Records a response of the queue.
    pub(crate) fn answered(&mut self, events: bool, empty: bool, now: Timestamp) {
        if let Self::Queue {
            has_delivered,
            answered,
            drained,
            ..
        } = self
        {
            *has_delivered |= events;
            *answered = now;
            if empty {
                *drained = Some(now);
            }
        }
    }

    /// Whether events report changes at `now`.
    pub(crate) fn reports_changes(&self, now: Timestamp) -> bool {
        match *self {
            Self::Absent => false,
            Self::Queue {
                has_delivered,
                answered,
                drained,
                ..
            } => {
                (has_delivered || drained.is_none()) && now.duration_since(answered) <= STALE_AFTER
            }
        }
    }

    /// Whether an event for a change that was noticed at `differs_since` would have been received by now, so that a poll may
    /// decide.
    pub(crate) fn may_decide(&self, differs_since: Timestamp, now: Timestamp) -> bool {
        let Self::Queue { drained, begun, .. } = *self else {
            return true;
        };
        let since = |drained: Timestamp| {
            drained.duration_since(differs_since) >= DELIVERY_DELAY
                && drained.duration_since(begun) >= VISIBILITY_TIMEOUT
        };
        !self.reports_changes(now) || drained.is_some_and(since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_795_000_000 + seconds).unwrap()
    }

    #[test]
    fn without_a_queue_or_with_one_that_never_delivered_a_poll_decides_at_once() {
        assert!(EventStream::Absent.may_decide(at(0), at(0)));
        let mut stream = EventStream::of_queue(false, at(0));
        assert!(!stream.may_decide(at(0), at(0)), "it may be full");
        stream.answered(false, true, at(1));
        assert!(stream.may_decide(at(1), at(1)));
    }

    #[test]
    fn with_an_event_stream_a_poll_waits_for_events_in_transit() {
        let mut stream = EventStream::of_queue(false, at(0));
        stream.answered(true, false, at(1));
        assert!(!stream.may_decide(at(0), at(20)), "there may be more");
        stream.answered(false, true, at(20));
        assert!(
            !stream.may_decide(at(15), at(20)),
            "some may be hidden yet, from a daemon that was killed"
        );
        stream.answered(false, true, at(30));
        assert!(stream.may_decide(at(25), at(30)));
        assert!(!stream.may_decide(at(26), at(30)));
    }

    #[test]
    fn a_queue_that_stops_responding_delays_nothing() {
        let mut stream = EventStream::of_queue(true, at(0));
        stream.answered(true, false, at(1));
        assert!(!stream.may_decide(at(2), at(121)));
        assert!(stream.may_decide(at(2), at(122)));
    }
}
