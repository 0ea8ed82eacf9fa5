//! Which instance types a start tries: the desired type first, then the fallback types while EC2 has no capacity for it.

use super::evaluator::Evaluator;
use crate::instance::{InstanceType, Purchase, StateReason};
use crate::state_tags::{ReasonCode, TYPE_TAG};
use crate::step::{FallbackChange, Step, StepAction, TypesToTry};

impl Evaluator<'_> {
    /// Sets the types that a start tries. If an accepted start fell back to stopped for lack of capacity (`fell_back`), the order
    /// begins with the type after the one that failed.
    pub(super) fn choose_types(&self, step: &mut Step, fell_back: Option<&ReasonCode>) {
        if self.stale_fallback().is_some() {
            step.tag_changes.fallback = FallbackChange::Clear;
        }
        let schedule = self.schedule();
        let in_force = self.tags.fallback_in_force(self.instance, schedule);
        let has_others = !schedule.fallback_types.is_empty() || in_force.is_some();
        if step.action != StepAction::Start || !has_others {
            return;
        }
        let Ok(present) = self.instance.instance_type.parse::<InstanceType>() else {
            return;
        };
        if let Some(obstacle) = self.obstacle_to_another_type() {
            step.remark(format!("no other type is tried: {obstacle}"));
            return;
        }
        let wanted =
            in_force.map_or_else(|| present.clone(), |fallback| fallback.desired_type.clone());
        let mut order = vec![wanted.clone()];
        for other in schedule.fallback_types.iter().chain([&present]) {
            if !order.contains(other) {
                order.push(other.clone());
            }
        }
        if fell_back.is_some_and(|code| code.as_str() == StateReason::NO_CAPACITY) {
            let tried = order.iter().position(|other| *other == present);
            order.rotate_left(tried.map_or(0, |index| index + 1));
        }
        if in_force.is_some() {
            step.remark(format!(
                "it is meant to be {wanted}, and was {present} for want of capacity"
            ));
            step.tag_changes.fallback = FallbackChange::Clear;
        }
        if order.len() > 1 {
            step.types = Some(Box::new(TypesToTry { wanted, order }));
        }
    }

    /// Returns why the instance can't be given another type.
    fn obstacle_to_another_type(&self) -> Option<&'static str> {
        if self.instance.purchase != Purchase::OnDemand {
            Some("a Spot instance keeps its own")
        } else if self.instance.may_be_hibernated() {
            Some("a hibernated instance resumes on its own")
        } else {
            None
        }
    }

    /// Returns why the value of `curfew:type` is obsolete or malformed, if it is.
    pub(super) fn stale_fallback(&self) -> Option<String> {
        let schedule = self.schedule();
        match &self.tags.fallback {
            Ok(None) => None,
            Ok(Some(_))
                if self
                    .tags
                    .fallback_in_force(self.instance, schedule)
                    .is_some() =>
            {
                None
            }
            Ok(Some(fallback)) => Some(format!(
                "the tag `{TYPE_TAG}` says `{fallback}`, and it is {}",
                self.instance.instance_type
            )),
            Err(problem) => Some(problem.to_string()),
        }
    }
}
