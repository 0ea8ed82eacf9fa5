//! What a decision depends on, except the instant.

use crate::instance::Instance;
use crate::request::Request;
use crate::schedule::ScheduleName;
use crate::schedule_set::ScheduleSet;

/// Everything a decision depends on, except the instant.
#[derive(Clone, Debug)]
pub struct World<'a> {
    /// The schedules, and how they are bound to instances.
    pub schedule_set: &'a ScheduleSet,
    /// What was observed in this pass: all instances, or only those that a request names.
    pub instances: &'a [Instance],
    /// What is asked for, if a person or program woke this pass: the instances that it is about are judged as if what the
    /// person says stood in their tags already. Their steps say what that is.
    pub request: Option<&'a Request>,
    /// The schedule that a rule or timer named when it woke this pass. It decides nothing: it lets an early trigger count.
    pub triggered_for: Option<&'a ScheduleName>,
}

impl<'a> World<'a> {
    /// A world in which nobody asked for anything, and no schedule's trigger may count early.
    pub fn unasked(schedule_set: &'a ScheduleSet, instances: &'a [Instance]) -> Self {
        Self {
            schedule_set,
            instances,
            request: None,
            triggered_for: None,
        }
    }
}
