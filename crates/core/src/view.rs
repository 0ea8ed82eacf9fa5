//! Schedules as one plan sees them: which one manages an instance, and what it says around `now`, each worked out once
//! however many instances ask.
//!
//! A plan for 10,000 instances asks 50 schedules the same few questions; only the answers for distinct instants and the
//! schedules in distinct tags are worked out. This is still pure: the answers are forgotten with the plan.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;

use crate::instance::{Instance, InstanceId};
use crate::schedule::{Pattern, Schedule};
use crate::schedule_set::{ScheduleSet, only_taker};
use crate::skip::SkipReason;
use crate::timetable::{Desired, Edge};

/// One schedule, and what it has been asked so far.
pub(crate) struct View<'a> {
    schedule: Cow<'a, Schedule>,
    last_edges: Answers<Option<Edge>>,
    next_edges: Answers<Option<Edge>>,
    desired: Answers<Desired>,
}

type Answers<T> = RefCell<BTreeMap<Timestamp, T>>;

impl<'a> View<'a> {
    pub(crate) fn new(schedule: Cow<'a, Schedule>) -> Self {
        Self {
            schedule,
            last_edges: Answers::default(),
            next_edges: Answers::default(),
            desired: Answers::default(),
        }
    }

    pub(crate) fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    pub(crate) fn into_schedule(self) -> Cow<'a, Schedule> {
        self.schedule
    }

    pub(crate) fn last_edge(&self, at: Timestamp) -> Option<Edge> {
        answer(&self.last_edges, at, || {
            self.schedule.timetable.last_edge(at)
        })
    }

    pub(crate) fn next_edge(&self, after: Timestamp) -> Option<Edge> {
        answer(&self.next_edges, after, || {
            self.schedule.timetable.next_edge(after)
        })
    }

    pub(crate) fn desired(&self, at: Timestamp) -> Desired {
        answer(&self.desired, at, || self.schedule.timetable.desired(at))
    }
}

fn answer<T: Copy>(answers: &Answers<T>, at: Timestamp, ask: impl FnOnce() -> T) -> T {
    *answers.borrow_mut().entry(at).or_insert_with(ask)
}

/// All views of one plan.
pub(crate) struct Views<'a> {
    schedule_set: &'a ScheduleSet,
    claims: Claims<'a>,
    made: Vec<View<'a>>,
    by_tag: HashMap<&'a str, Result<usize, SkipReason>>,
    by_schedule: HashMap<&'a str, usize>,
}

impl<'a> Views<'a> {
    pub(crate) fn new(schedule_set: &'a ScheduleSet) -> Self {
        Self {
            schedule_set,
            claims: Claims::new(schedule_set),
            made: Vec::new(),
            by_tag: HashMap::new(),
            by_schedule: HashMap::new(),
        }
    }

    /// The same answer as [`schedule set::schedule_for`].
    pub(crate) fn managing(&mut self, instance: &'a Instance) -> Result<&View<'a>, SkipReason> {
        let index = if let Some(value) = self.schedule_set.tag_value(instance) {
            self.in_tag(value)?
        } else {
            let takers = self.claims.takers(instance);
            self.of(only_taker(&takers)?)
        };
        Ok(&self.made[index])
    }

    fn in_tag(&mut self, value: &'a str) -> Result<usize, SkipReason> {
        if let Some(known) = self.by_tag.get(value) {
            return known.clone();
        }
        let found = match self.schedule_set.schedule_in_tag(value) {
            Ok(Cow::Borrowed(schedule)) => Ok(self.of(schedule)),
            Ok(written) => Ok(self.add(written)),
            Err(reason) => Err(reason),
        };
        self.by_tag.insert(value, found.clone());
        found
    }

    fn of(&mut self, schedule: &'a Schedule) -> usize {
        if let Some(index) = self.by_schedule.get(schedule.name.as_str()) {
            return *index;
        }
        let index = self.add(Cow::Borrowed(schedule));
        self.by_schedule.insert(schedule.name.as_str(), index);
        index
    }

    fn add(&mut self, schedule: Cow<'a, Schedule>) -> usize {
        self.made.push(View::new(schedule));
        self.made.len() - 1
    }
}

/// The schedules' matchers, turned around: an instance's id and its few tags lead to the schedules that take it. Each value
/// of a tag is held against all patterns once per plan, whatever the number of instances that carry it.
struct Claims<'a> {
    by_id: HashMap<&'a InstanceId, Vec<&'a Schedule>>,
    /// The schedules that ask for tags; a set of them is a list of bits.
    asking: Vec<&'a Schedule>,
    everyone: Set,
    keys: Vec<Key<'a>>,
}

/// A tag that some schedules ask for.
struct Key<'a> {
    name: &'a str,
    asked: Vec<(usize, &'a Pattern)>,
    /// The schedules that do not ask for it.
    indifferent: Set,
    /// Those, and the ones whose pattern a value matches.
    content_with: HashMap<&'a str, Set>,
}

type Set = Vec<u64>;

impl<'a> Claims<'a> {
    fn new(schedule_set: &'a ScheduleSet) -> Self {
        let mut by_id: HashMap<_, Vec<_>> = HashMap::new();
        let mut by_key: BTreeMap<&str, Vec<_>> = BTreeMap::new();
        let mut asking = Vec::new();
        for schedule in schedule_set.schedules.values() {
            for id in &schedule.matcher.ids {
                by_id.entry(id).or_default().push(schedule);
            }
            for (key, pattern) in &schedule.matcher.tags {
                by_key.entry(key).or_default().push((asking.len(), pattern));
            }
            if !schedule.matcher.tags.is_empty() {
                asking.push(schedule);
            }
        }
        let mut everyone = vec![0; asking.len().div_ceil(64)];
        for index in 0..asking.len() {
            everyone[index / 64] |= 1 << (index % 64);
        }
        let keys = by_key.into_iter().map(|(name, asked)| {
            let mut indifferent: Set = everyone.clone();
            for (index, _) in &asked {
                indifferent[index / 64] &= !(1 << (index % 64));
            }
            Key {
                name,
                asked,
                indifferent,
                content_with: HashMap::new(),
            }
        });
        Self {
            keys: keys.collect(),
            by_id,
            asking,
            everyone,
        }
    }

    /// The schedules that take the instance, each once, by name.
    fn takers(&mut self, instance: &'a Instance) -> Vec<&'a Schedule> {
        let mut taking = self.everyone.clone();
        for key in &mut self.keys {
            let content = key.content(instance.tags.get(key.name));
            for (word, content) in taking.iter_mut().zip(content) {
                *word &= content;
            }
        }
        let by_id = self.by_id.get(&instance.id).into_iter().flatten().copied();
        let mut takers: Vec<&Schedule> = by_id.collect();
        for (word, bits) in taking.iter().enumerate() {
            let mut bits = *bits;
            while bits != 0 {
                takers.push(self.asking[word * 64 + bits.trailing_zeros() as usize]);
                bits &= bits - 1;
            }
        }
        takers.sort_by_key(|schedule| &schedule.name);
        takers.dedup_by_key(|schedule| &schedule.name);
        takers
    }
}

impl<'a> Key<'a> {
    fn content(&mut self, value: Option<&'a String>) -> &Set {
        let Some(value) = value else {
            return &self.indifferent;
        };
        self.content_with.entry(value).or_insert_with(|| {
            let mut content = self.indifferent.clone();
            for (index, pattern) in &self.asked {
                if pattern.matches(value) {
                    content[index / 64] |= 1 << (index % 64);
                }
            }
            content
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example;
    use crate::schedule::{Matcher, ScheduleName};
    use crate::timetable::Timetable;
    use proptest::prelude::*;

    fn matcher() -> impl Strategy<Value = Matcher> {
        let id = prop_oneof![8 => Just("i-00000000"), 1 => Just("i-0abc1234def567890")];
        let tags = proptest::collection::btree_map("[AB]", "[ab*?]{1,2}", 0..3);
        (proptest::collection::vec(id, 0..2), tags).prop_map(|(ids, tags)| Matcher {
            ids: ids.into_iter().map(|id| id.parse().unwrap()).collect(),
            tags: tags
                .into_iter()
                .map(|(key, pattern)| (key, Pattern::new(pattern)))
                .collect(),
        })
    }

    proptest! {
        /// More schedules than a word has bits, some of which take most instances.
        #[test]
        fn all_together_are_managed_as_each_alone(
            matchers in proptest::collection::vec((0_usize..100, matcher()), 0..6),
            fleet in proptest::collection::vec(proptest::collection::btree_map("[ABS]", "[ab]{0,2}|s7[0-9]", 0..3), 1..5),
        ) {
            let timetable = Timetable::parse_inline("08:00-20:00 Europe/Paris").unwrap();
            let schedules = (0..100).map(|number| {
                let name: ScheduleName = format!("s{number}").parse().unwrap();
                let mut schedule = Schedule::new(name.clone(), timetable.clone());
                if number % 3 > 0 {
                    schedule.matcher.tags.insert("A".into(), Pattern::new("nobody"));
                }
                (name, schedule)
            });
            let mut schedule_set = ScheduleSet { tag: "S".into(), schedules: schedules.collect() };
            for (number, matcher) in matchers {
                let name = format!("s{number}");
                schedule_set.schedules.get_mut(name.as_str()).unwrap().matcher = matcher;
            }
            let fleet: Vec<Instance> = fleet
                .into_iter()
                .map(|tags| Instance { tags, ..example::instance("web") })
                .collect();
            let mut views = Views::new(&schedule_set);
            for instance in &fleet {
                let together = views.managing(instance).map(|view| view.schedule().name.clone());
                let alone = schedule_set.schedule_for(instance).map(|schedule| schedule.name.clone());
                prop_assert_eq!(together, alone);
            }
        }
    }
}
