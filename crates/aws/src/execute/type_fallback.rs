//! Tries other instance types for starts for which EC2 lacks capacity.
//!
//! The step has the types in order. There is one round for each type, after all other work: the desired type is recorded in a
//! tag, the instance gets the type of the round, and then it is started; a round handles all its members together as far as
//! EC2 allows. If no type has capacity, the instance gets its desired type back.

use std::collections::BTreeMap;

use curfew_core::instance::{Instance, InstanceType};
use curfew_core::state_tags::Fallback;
use curfew_core::step::{FallbackChange, Step, StepAction, TypesToTry};
use tracing::info;

use super::tag_writes::{TagEdit, grouped};
use super::{BatchCall, Execution, StepProgress, StepResult};
use crate::error::{CloudError, CloudErrorKind};

/// The starts that may use several types.
#[derive(Debug, Default)]
pub(super) struct TypeFallbacks(BTreeMap<usize, TypeAttempts>);

#[derive(Debug)]
struct TypeAttempts {
    types: TypesToTry,
    /// The index in the order of the type to try.
    next: usize,
    /// The instance's current type; none if its name is invalid.
    present: Option<InstanceType>,
    /// Whether this execution wrote the tag of a fallback type.
    tagged: bool,
    /// The error of the types tried so far.
    error: Option<CloudError>,
}

impl TypeAttempts {
    fn target(&self) -> Option<&InstanceType> {
        self.types.order.get(self.next)
    }

    fn has(&self, wanted: &InstanceType) -> bool {
        self.present.as_ref() == Some(wanted)
    }

    /// Goes on with the next type. An error that a user can fix is reported rather than a lack of capacity.
    fn refused(&mut self, error: &CloudError) {
        self.next += 1;
        let is_fixable = error.kind != CloudErrorKind::Capacity;
        let known = self.error.as_ref().map(|known| known.kind);
        if known.is_none() || (is_fixable && known == Some(CloudErrorKind::Capacity)) {
            self.error = Some(error.repeated());
        }
    }
}

impl TypeFallbacks {
    pub(super) fn of<'a>(members: impl Iterator<Item = (&'a Step, &'a Instance)>) -> Self {
        let trying = members
            .enumerate()
            .filter_map(|(member, (step, instance))| {
                let types = TypesToTry::clone(step.types.as_ref()?);
                let trying = TypeAttempts {
                    types,
                    next: 0,
                    present: instance.instance_type.parse().ok(),
                    tagged: false,
                    error: None,
                };
                Some((member, trying))
            });
        Self(trying.collect())
    }

    /// Whether the member can be started with its current type.
    pub(super) fn is_ready(&self, member: usize) -> bool {
        self.0
            .get(&member)
            .is_none_or(|trying| trying.target().is_some_and(|target| trying.has(target)))
    }

    /// The change to the tag once the member's start was accepted.
    pub(super) fn tag_change(&self, member: usize, planned: FallbackChange) -> FallbackChange {
        match self.0.get(&member) {
            Some(trying) if !trying.has(&trying.types.wanted) => FallbackChange::Keep,
            Some(trying) if trying.tagged => FallbackChange::Clear,
            Some(_) | None => planned,
        }
    }

    /// Whether the member continues after this error, with another type or with its desired type.
    pub(super) fn continues_after(
        &mut self,
        call: &BatchCall,
        member: usize,
        error: &CloudError,
    ) -> bool {
        let Some(trying) = self.0.get_mut(&member) else {
            return false;
        };
        let Some(target) = trying.target() else {
            // Its desired type can't be restored: the tag stays, and a later start tries again.
            return false;
        };
        let is_wanted = *target == trying.types.wanted;
        let continues_after = match (call, error.kind) {
            (BatchCall::Change(StepAction::Start), CloudErrorKind::Capacity)
            | (BatchCall::SetType(_), CloudErrorKind::Denied | CloudErrorKind::Refused) => true,
            // The type is not available in this zone or for this image.
            (BatchCall::Change(StepAction::Start), CloudErrorKind::Refused) => !is_wanted,
            _ => false,
        };
        if continues_after {
            trying.refused(error);
        }
        continues_after
    }

    /// The largest number of types of a start, which bounds the rounds.
    fn longest_order(&self) -> usize {
        let orders = self.0.values().map(|trying| trying.types.order.len());
        orders.max().unwrap_or(0)
    }

    fn members_where(&self, wanting: impl Fn(&TypeAttempts) -> bool) -> Vec<usize> {
        let members = self.0.iter();
        members
            .filter(|(_, trying)| wanting(trying))
            .map(|(member, _)| *member)
            .collect()
    }
}

impl Execution<'_> {
    /// Tries one type after the other for the starts without capacity.
    pub(super) async fn try_other_types(&mut self) {
        for _ in 0..self.types.longest_order() {
            let waiting = self.open_of(|trying| trying.target().is_some());
            if waiting.is_empty() {
                break;
            }
            self.tag_fallbacks(&waiting);
            self.run().await;
            self.set_types(waiting);
            self.run().await;
            let ready = self.open_of(|trying| trying.target().is_some_and(|one| trying.has(one)));
            self.queue_action(StepAction::Start, ready);
            self.run().await;
        }
        let given_up = self.open_of(|trying| trying.target().is_none());
        self.set_types(given_up.clone());
        self.run().await;
        self.give_up(&given_up);
        self.run().await;
    }

    fn open_of(&self, wanting: impl Fn(&TypeAttempts) -> bool) -> Vec<usize> {
        let mut members = self.types.members_where(wanting);
        members.retain(|member| matches!(self.progress[*member], StepProgress::Open));
        members
    }

    /// Records the desired type before it is changed, so that a crash in between loses nothing.
    fn tag_fallbacks(&mut self, members: &[usize]) {
        let mut placed = Vec::new();
        for member in members {
            let Some(trying) = self.types.0.get_mut(member) else {
                continue;
            };
            let wanted = trying.types.wanted.clone();
            match trying.target().cloned() {
                Some(present) if present != wanted && !trying.has(&present) => {
                    trying.tagged = true;
                    let writes = TagEdit::fallback(&Fallback {
                        desired_type: wanted,
                        current_type: present,
                    });
                    placed.push((writes, *member));
                }
                _ => {}
            }
        }
        for (writes, members) in grouped(placed.into_iter()) {
            self.queue_back(&BatchCall::TagFallback(writes), &members);
        }
    }

    /// Gives each instance the next type to try, or after all of them its desired type. EC2 takes one instance per call.
    fn set_types(&mut self, members: Vec<usize>) {
        for member in members {
            let Some(trying) = self.types.0.get(&member) else {
                continue;
            };
            let to = trying.target().unwrap_or(&trying.types.wanted).clone();
            let is_open = matches!(self.progress[member], StepProgress::Open);
            if is_open && !trying.has(&to) {
                self.queue_back(&BatchCall::SetType(to), &[member]);
            }
        }
    }

    /// Records that EC2 changed the member's type.
    pub(super) fn type_changed(&mut self, member: usize, to: &InstanceType) {
        self.capacity_pools.move_to_type(member, to.as_str());
        if let Some(trying) = self.types.0.get_mut(&member) {
            trying.present = Some(to.clone());
        }
    }

    /// Fails members for which no type had capacity, and removes the tag of those that have their desired type.
    fn give_up(&mut self, members: &[usize]) {
        let mut untagged = Vec::new();
        for member in members {
            let Some(trying) = self.types.0.get_mut(member) else {
                continue;
            };
            let still_open = matches!(self.progress[*member], StepProgress::Open);
            let Some(error) = trying.error.take().filter(|_| still_open) else {
                continue;
            };
            let has_its_own = trying.has(&trying.types.wanted);
            let planned = self.steps[*member].tag_changes.fallback;
            if has_its_own && (trying.tagged || planned == FallbackChange::Clear) {
                untagged.push(*member);
            }
            self.progress[*member] = StepProgress::Settled(StepResult::Failed(error));
        }
        self.queue_back(&BatchCall::RemoveTags(TagEdit::no_fallback()), &untagged);
    }

    /// Logs an accepted start with a fallback type.
    pub(super) fn log_fallback(&self, member: usize) {
        let Some(trying) = self.types.0.get(&member) else {
            return;
        };
        let wanted = &trying.types.wanted;
        if let Some(present) = trying.present.as_ref().filter(|present| *present != wanted) {
            let instance = &self.steps[member].instance;
            info!(%instance, %wanted, %present, "started with a fallback type: no capacity for the desired type");
        }
    }
}
