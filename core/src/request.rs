//! What a person, or a program, asks for beyond the schedules.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::instance::{Instance, InstanceId};
use crate::memory::Who;

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
