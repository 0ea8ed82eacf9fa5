//! The input of a decision, except the instant.

use crate::instance::Instance;
use crate::request::Request;
use crate::schedule_set::ScheduleSet;

/// Everything a decision depends on, except the instant.
#[derive(Clone, Debug)]
pub struct World<'a> {
    /// The schedules, and the rules by which they manage instances.
    pub schedule_set: &'a ScheduleSet,
    /// The instances observed in this pass: all of them, or only those that a request names.
    pub instances: &'a [Instance],
    /// The request that triggered this pass, if one did. Its instances are evaluated as if its tags were written already; their steps
    /// carry these tags.
    pub request: Option<&'a Request>,
}

impl<'a> World<'a> {
    /// A world without a request.
    pub fn without_request(schedule_set: &'a ScheduleSet, instances: &'a [Instance]) -> Self {
        Self {
            schedule_set,
            instances,
            request: None,
        }
    }
}
