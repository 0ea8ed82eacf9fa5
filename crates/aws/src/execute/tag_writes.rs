//! What is written to the instances' tags once their calls were accepted, and when: members that are remembered alike are
//! written together.

use std::collections::HashMap;

use curfew_core::request::RequestTags;
use curfew_core::state_tags::{Fallback, LAST_TAG, LastApplied, RETRY_TAG, TYPE_TAG};
use curfew_core::step::{FallbackChange, RetryChange, Step, TagChanges};

use super::{BATCH, Batch, BatchCall, Execution};

/// Changes to the tags of an instance. The calls that say, adopt and remember set tags; the one that forgets removes some.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct TagEdit {
    /// Keys and their new values.
    pub(super) set: Vec<(&'static str, String)>,
    /// Keys.
    pub(super) removed: Vec<&'static str>,
    /// A `curfew:last` that can't be believed, and is to be replaced.
    pub(super) mends: Option<String>,
}

impl TagEdit {
    /// What a person says, which is written before anything is done.
    pub(super) fn word(word: &RequestTags) -> Self {
        Self {
            set: word.tags(),
            ..Self::default()
        }
    }

    /// The first memory, which is written before the call.
    pub(super) fn first(last: &LastApplied) -> Self {
        Self {
            set: vec![(LAST_TAG, last.to_string())],
            ..Self::default()
        }
    }

    /// The same, in place of what the step mends.
    pub(super) fn mending(self, step: &Step) -> Self {
        Self {
            mends: step.replaces.clone(),
            ..self
        }
    }

    /// The `curfew:last` among them.
    pub(super) fn last(&self) -> Option<LastApplied> {
        let (_, value) = self.set.iter().find(|(key, _)| *key == LAST_TAG)?;
        value.parse().ok()
    }

    /// The type that an instance is meant to have, which is placed before it gets another.
    pub(super) fn fallback(fallback: &Fallback) -> Self {
        Self {
            set: vec![(TYPE_TAG, fallback.to_string())],
            ..Self::default()
        }
    }

    /// No other type stands in any more.
    pub(super) fn no_fallback() -> Self {
        Self {
            removed: vec![TYPE_TAG],
            ..Self::default()
        }
    }

    /// All that is to be remembered.
    pub(super) fn of(remember: &TagChanges) -> Self {
        let mut writes = Self::default();
        if let Some(last) = &remember.last {
            writes.set.push((LAST_TAG, last.to_string()));
        }
        match &remember.retry {
            RetryChange::Keep => {}
            RetryChange::Set(retry) => writes.set.push((RETRY_TAG, retry.to_string())),
            RetryChange::Clear => writes.removed.push(RETRY_TAG),
        }
        match remember.fallback {
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
            mends,
        } = self;
        let remember = (!set.is_empty()).then(|| {
            BatchCall::Remember(Self {
                set,
                mends,
                ..Self::default()
            })
        });
        let forget = (!removed.is_empty()).then(|| {
            BatchCall::Forget(Self {
                removed,
                ..Self::default()
            })
        });
        remember.into_iter().chain(forget)
    }
}

/// Members by what is written for them, in the order in which each is first met.
pub(super) fn alike(members: impl Iterator<Item = (TagEdit, usize)>) -> Vec<(TagEdit, Vec<usize>)> {
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

/// Which instances are tagged together, and which of them are done.
#[derive(Debug, Default)]
pub(super) struct TagWrites {
    group_of: Vec<usize>,
    groups: Vec<Group>,
    /// The groups with news since the last query.
    touched: Vec<usize>,
}

#[derive(Debug, Default)]
struct Group {
    /// How many are still on their way.
    expected: usize,
    /// Those that are done and not written yet.
    done: Vec<usize>,
}

impl TagWrites {
    pub(super) fn of(steps: &[Step]) -> Self {
        let planned = steps.iter().zip(0..);
        let groups = alike(planned.map(|(step, member)| {
            let remember = step.tag_changes.clone().after_response(step.state);
            (TagEdit::of(&remember).mending(step), member)
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

    /// The member is on its way.
    pub(super) fn expect(&mut self, member: usize) {
        self.groups[self.group_of[member]].expected += 1;
    }

    /// The member is done.
    pub(super) fn accept(&mut self, member: usize) {
        self.give_up(member);
        self.groups[self.group_of[member]].done.push(member);
    }

    /// There will be nothing to remember of the member.
    pub(super) fn give_up(&mut self, member: usize) {
        let group = self.group_of[member];
        self.groups[group].expected -= 1;
        self.touched.push(group);
    }

    /// Those that are to be written now: a full batch, or the last ones of their group.
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
    /// What was done is remembered before anything else is.
    pub(super) fn write_what_is_due(&mut self) {
        for members in self.tag_writes.due() {
            for (call, members) in self.memory_of(&members) {
                self.breaker.expect(&call);
                let family = self.lineage.found();
                self.queue.push_front(Batch::new(call, members, family));
            }
        }
    }

    pub(super) fn memory_of(&self, members: &[usize]) -> Vec<(BatchCall, Vec<usize>)> {
        let known = members.iter().map(|member| {
            let planned = self.steps[*member].tag_changes.clone();
            let remember = TagChanges {
                fallback: self.types.change(*member, planned.fallback),
                ..planned.after_response(self.after(*member))
            };
            let writes = TagEdit::of(&remember).mending(&self.steps[*member]);
            (writes, *member)
        });
        let groups = alike(known).into_iter();
        groups
            .flat_map(|(writes, members)| writes.calls().map(move |call| (call, members.clone())))
            .collect()
    }
}
