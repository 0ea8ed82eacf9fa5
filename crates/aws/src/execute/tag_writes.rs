//! The tags that record the steps, written after their calls were accepted. Equal tags of several members are written by one
//! call.

use std::collections::HashMap;

use curfew_core::request::RequestTags;
use curfew_core::state_tags::{Fallback, LAST_TAG, LastApplied, RETRY_TAG, TYPE_TAG};
use curfew_core::step::{FallbackChange, RetryChange, Step, TagChanges};

use super::{BATCH, Batch, BatchCall, Execution};

/// Changes to an instance's tags. `CreateTags` needs `set`, `DeleteTags` needs `removed`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct TagEdit {
    /// Keys and their new values.
    pub(super) set: Vec<(&'static str, String)>,
    /// The keys to remove.
    pub(super) removed: Vec<&'static str>,
    /// An invalid `curfew:last` to replace.
    pub(super) replaces: Option<String>,
}

impl TagEdit {
    /// The tags of a request.
    pub(super) fn request(request: &RequestTags) -> Self {
        Self {
            set: request.tags(),
            ..Self::default()
        }
    }

    /// The first `curfew:last`, written before the call.
    pub(super) fn initial(last: &LastApplied) -> Self {
        Self {
            set: vec![(LAST_TAG, last.to_string())],
            ..Self::default()
        }
    }

    /// The same, replacing the invalid `curfew:last` that the step names.
    pub(super) fn replacing(self, step: &Step) -> Self {
        Self {
            replaces: step.replaces.clone(),
            ..self
        }
    }

    /// The value of `curfew:last`, if it is set.
    pub(super) fn last(&self) -> Option<LastApplied> {
        let (_, value) = self.set.iter().find(|(key, _)| *key == LAST_TAG)?;
        value.parse().ok()
    }

    /// The tag with the desired type, written before the instance gets another.
    pub(super) fn fallback(fallback: &Fallback) -> Self {
        Self {
            set: vec![(TYPE_TAG, fallback.to_string())],
            ..Self::default()
        }
    }

    /// Removes the tag of a fallback type.
    pub(super) fn no_fallback() -> Self {
        Self {
            removed: vec![TYPE_TAG],
            ..Self::default()
        }
    }

    /// All tags to write after the step's call.
    pub(super) fn of(changes: &TagChanges) -> Self {
        let mut writes = Self::default();
        if let Some(last) = &changes.last {
            writes.set.push((LAST_TAG, last.to_string()));
        }
        match &changes.retry {
            RetryChange::Keep => {}
            RetryChange::Set(retry) => writes.set.push((RETRY_TAG, retry.to_string())),
            RetryChange::Clear => writes.removed.push(RETRY_TAG),
        }
        match changes.fallback {
            FallbackChange::Keep => {}
            FallbackChange::Clear => writes.removed.push(TYPE_TAG),
        }
        writes
    }

    /// The calls that make these changes.
    pub(super) fn calls(self) -> impl Iterator<Item = BatchCall> {
        let Self {
            set,
            removed,
            replaces,
        } = self;
        let set_call = (!set.is_empty()).then(|| {
            BatchCall::WriteTags(Self {
                set,
                replaces,
                ..Self::default()
            })
        });
        let remove_call = (!removed.is_empty()).then(|| {
            BatchCall::RemoveTags(Self {
                removed,
                ..Self::default()
            })
        });
        set_call.into_iter().chain(remove_call)
    }
}

/// Groups members by their changes, in order of first occurrence.
pub(super) fn grouped(
    members: impl Iterator<Item = (TagEdit, usize)>,
) -> Vec<(TagEdit, Vec<usize>)> {
    let mut groups: Vec<(TagEdit, Vec<usize>)> = Vec::new();
    let mut places: HashMap<TagEdit, usize> = HashMap::new();
    for (writes, member) in members {
        let place = *places.entry(writes).or_insert_with_key(|writes| {
            groups.push((writes.clone(), Vec::new()));
            groups.len() - 1
        });
        groups[place].1.push(member);
    }
    groups
}

/// Groups the members that are tagged together, and tracks which of them are done.
#[derive(Debug, Default)]
pub(super) struct TagWrites {
    group_of: Vec<usize>,
    groups: Vec<Group>,
    /// The groups that changed since the last call of `due`.
    touched: Vec<usize>,
}

#[derive(Debug, Default)]
struct Group {
    /// The number of members with a pending call.
    expected: usize,
    /// The accepted members without written tags.
    done: Vec<usize>,
}

impl TagWrites {
    pub(super) fn of(steps: &[Step]) -> Self {
        let planned = steps.iter().zip(0..);
        let groups = grouped(planned.map(|(step, member)| {
            let changes = step.tag_changes.clone().after_response(step.state);
            (TagEdit::of(&changes).replacing(step), member)
        }));
        let mut group_of = vec![0; steps.len()];
        for ((_, members), group) in groups.iter().zip(0..) {
            for member in members {
                group_of[*member] = group;
            }
        }
        Self {
            group_of,
            groups: groups.iter().map(|_| Group::default()).collect(),
            touched: Vec::new(),
        }
    }

    pub(super) fn group(&self, member: usize) -> usize {
        self.group_of[member]
    }

    /// Registers a member with a pending call.
    pub(super) fn expect(&mut self, member: usize) {
        self.groups[self.group_of[member]].expected += 1;
    }

    /// Marks a member's call as accepted.
    pub(super) fn accept(&mut self, member: usize) {
        self.give_up(member);
        self.groups[self.group_of[member]].done.push(member);
    }

    /// Removes a member: nothing is to be recorded.
    pub(super) fn give_up(&mut self, member: usize) {
        let group = self.group_of[member];
        self.groups[group].expected -= 1;
        self.touched.push(group);
    }

    /// Returns the groups to write now: full batches, and the last members of their group.
    pub(super) fn due(&mut self) -> Vec<Vec<usize>> {
        let mut due = Vec::new();
        for place in self.touched.drain(..) {
            let group = &mut self.groups[place];
            while group.done.len() >= BATCH {
                due.push(group.done.drain(..BATCH).collect());
            }
            if group.expected == 0 && !group.done.is_empty() {
                due.push(std::mem::take(&mut group.done));
            }
        }
        due
    }
}

impl Execution<'_> {
    /// Queues due tags before all other calls.
    pub(super) fn queue_due_tags(&mut self) {
        for members in self.tag_writes.due() {
            for (call, members) in self.tag_calls(&members) {
                self.breaker.expect(&call);
                let lineage = self.lineages.start();
                self.queue.push_front(Batch::new(call, members, lineage));
            }
        }
    }

    pub(super) fn tag_calls(&self, members: &[usize]) -> Vec<(BatchCall, Vec<usize>)> {
        let known = members.iter().map(|member| {
            let planned = self.steps[*member].tag_changes.clone();
            let changes = TagChanges {
                fallback: self.types.tag_change(*member, planned.fallback),
                ..planned.after_response(self.after(*member))
            };
            let writes = TagEdit::of(&changes).replacing(&self.steps[*member]);
            (writes, *member)
        });
        let groups = grouped(known).into_iter();
        groups
            .flat_map(|(writes, members)| writes.calls().map(move |call| (call, members.clone())))
            .collect()
    }
}
