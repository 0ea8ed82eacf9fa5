//! What a person, or a program, asks for beyond the schedules.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use crate::instance::{Instance, InstanceId};
use crate::memory::{Who, whole_second};

/// One request for some of the instances of a pass.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// What is asked.
    pub ask: Ask,
    /// The instances it is asked for.
    pub targets: BTreeSet<InstanceId>,
    /// Who asked.
    pub by: Who,
}

impl Request {
    /// Whether this request is about the instance.
    pub fn concerns(&self, instance: &Instance) -> bool {
        self.targets.contains(&instance.id)
    }
}

/// What may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Start now.
    Start(Lasting),
    /// Stop now.
    Stop(Lasting),
    /// Keep Curfew's hands off until an instant.
    Ignore {
        /// The end, exclusive.
        until: Timestamp,
    },
    /// End the hold, and do what the schedule wants now.
    Resume,
}

/// How long a request lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lasting {
    /// Like any edge: until the next one. On an enforced schedule this takes a hold until then.
    NextEdge,
    /// A hold until this instant, exclusive.
    Until(Timestamp),
}

/// The longest hold: the same bound that a length of time in the settings has. A hold that nobody remembers is a machine that
/// nobody stops.
const LONGEST_HOLD: SignedDuration = SignedDuration::from_hours(31 * 24);

impl Lasting {
    /// A hold from `now` for `length`: at most a second longer, never shorter, since tags carry whole seconds.
    pub fn length(length: SignedDuration, now: Timestamp) -> Self {
        Self::Until(whole_second(
            now + length + SignedDuration::from_nanos(999_999_999),
        ))
    }

    /// A hold from `now` until `until`, down to the second.
    pub fn until(until: Timestamp, now: Timestamp) -> Result<Self, BadEnd> {
        let until = whole_second(until);
        if until <= now {
            Err(BadEnd::Over {
                now: whole_second(now),
            })
        } else if until.duration_since(now) > LONGEST_HOLD {
            Err(BadEnd::TooFar)
        } else {
            Ok(Self::Until(until))
        }
    }
}

/// An instant that can't be the end of a hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadEnd {
    /// It has passed.
    #[error("over already")]
    Over {
        /// What the clock says.
        now: Timestamp,
    },
    /// It is too far away.
    #[error("too far away")]
    TooFar,
}

impl BadEnd {
    /// What to do about it.
    pub fn hint(self) -> String {
        match self {
            Self::Over { now } => format!("it is {now} now"),
            Self::TooFar => "a hold lasts 31 days at most".to_owned(),
        }
    }
}
