//! A cache for one plan: the schedule that manages each instance, and the edges and desired states of schedules.
//!
//! A plan for 10,000 instances computes the same few values of 50 schedules. The cache computes them once for each distinct
//! instant, and resolves each distinct tag value once. It lives as long as the plan, so planning remains a pure function.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;

use crate::instance::{Instance, InstanceId};
use crate::schedule::{Pattern, Schedule};
use crate::schedule_set::{ScheduleSet, single_match};
use crate::skip::SkipReason;
use crate::timetable::{Desired, Edge};

/// One schedule with the edges and desired states computed so far.
pub(crate) struct CachedSchedule<'a> {
    schedule: Cow<'a, Schedule>,
    last_edges: Cached<Option<Edge>>,
    next_edges: Cached<Option<Edge>>,
    desired: Cached<Desired>,
}

type Cached<T> = RefCell<BTreeMap<Timestamp, T>>;

impl<'a> CachedSchedule<'a> {
    pub(crate) fn new(schedule: Cow<'a, Schedule>) -> Self {
        Self {
            schedule,
            last_edges: Cached::default(),
            next_edges: Cached::default(),
            desired: Cached::default(),
        }
    }

    pub(crate) fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    pub(crate) fn into_schedule(self) -> Cow<'a, Schedule> {
        self.schedule
    }

    pub(crate) fn last_edge(&self, at: Timestamp) -> Option<Edge> {
        cached(&self.last_edges, at, || {
            self.schedule.timetable.last_edge(at)
        })
    }

    pub(crate) fn next_edge(&self, after: Timestamp) -> Option<Edge> {
        cached(&self.next_edges, after, || {
            self.schedule.timetable.next_edge(after)
        })
    }

    pub(crate) fn desired(&self, at: Timestamp) -> Desired {
        cached(&self.desired, at, || self.schedule.timetable.desired(at))
    }
}

/// Returns the cached value for `at`, or computes and stores it.
fn cached<T: Copy>(values: &Cached<T>, at: Timestamp, compute: impl FnOnce() -> T) -> T {
    *values.borrow_mut().entry(at).or_insert_with(compute)
}

/// The cached schedules of one plan.
pub(crate) struct ScheduleCache<'a> {
    schedule_set: &'a ScheduleSet,
    matchers: MatcherIndex<'a>,
    schedules: Vec<CachedSchedule<'a>>,
    by_tag: HashMap<&'a str, Result<usize, SkipReason>>,
    by_schedule: HashMap<&'a str, usize>,
}

impl<'a> ScheduleCache<'a> {
    pub(crate) fn new(schedule_set: &'a ScheduleSet) -> Self {
        Self {
            schedule_set,
            matchers: MatcherIndex::new(schedule_set),
            schedules: Vec::new(),
            by_tag: HashMap::new(),
            by_schedule: HashMap::new(),
        }
    }

    /// Returns the schedule that manages the instance. The result equals that of [`ScheduleSet::schedule_for`].
    pub(crate) fn managing(
        &mut self,
        instance: &'a Instance,
    ) -> Result<&CachedSchedule<'a>, SkipReason> {
        let index = if let Some(value) = self.schedule_set.tag_value(instance) {
            self.in_tag(value)?
        } else {
            let matching = self.matchers.matching(instance);
            self.of(single_match(&matching)?)
        };
        Ok(&self.schedules[index])
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
        self.schedules.push(CachedSchedule::new(schedule));
        self.schedules.len() - 1
    }
}

/// An index of the schedules' matchers, by instance id and by tag key. Each distinct value of a tag is compared with the
/// patterns once per plan, independent of the number of instances with this value.
struct MatcherIndex<'a> {
    by_id: HashMap<&'a InstanceId, Vec<&'a Schedule>>,
    /// The schedules that match by tags. The bits of a [`ScheduleBits`] are indices into this list.
    with_tags: Vec<&'a Schedule>,
    all: ScheduleBits,
    keys: Vec<TagKey<'a>>,
}

/// A tag key that occurs in at least one matcher.
struct TagKey<'a> {
    name: &'a str,
    patterns: Vec<(usize, &'a Pattern)>,
    /// The schedules that do not match by this key.
    without_key: ScheduleBits,
    /// For each tag value, the schedules that accept it: those in `without_key`, and those with a matching pattern.
    accepting: HashMap<&'a str, ScheduleBits>,
}

type ScheduleBits = Vec<u64>;

impl<'a> MatcherIndex<'a> {
    fn new(schedule_set: &'a ScheduleSet) -> Self {
        let mut by_id: HashMap<_, Vec<_>> = HashMap::new();
        let mut by_key: BTreeMap<&str, Vec<_>> = BTreeMap::new();
        let mut with_tags = Vec::new();
        for schedule in schedule_set.schedules.values() {
            for id in &schedule.matcher.ids {
                by_id.entry(id).or_default().push(schedule);
            }
            for (key, pattern) in &schedule.matcher.tags {
                let index = with_tags.len();
                by_key.entry(key).or_default().push((index, pattern));
            }
            if !schedule.matcher.tags.is_empty() {
                with_tags.push(schedule);
            }
        }
        let mut all = vec![0; with_tags.len().div_ceil(64)];
        for index in 0..with_tags.len() {
            all[index / 64] |= 1 << (index % 64);
        }
        let keys = by_key.into_iter().map(|(name, patterns)| {
            let mut without_key: ScheduleBits = all.clone();
            for (index, _) in &patterns {
                without_key[index / 64] &= !(1 << (index % 64));
            }
            TagKey {
                name,
                patterns,
                without_key,
                accepting: HashMap::new(),
            }
        });
        Self {
            keys: keys.collect(),
            by_id,
            with_tags,
            all,
        }
    }

    /// Returns the schedules that match the instance, each once, sorted by name.
    fn matching(&mut self, instance: &'a Instance) -> Vec<&'a Schedule> {
        let mut by_tags = self.all.clone();
        for key in &mut self.keys {
            let accepting = key.accepting(instance.tags.get(key.name));
            for (word, accepting) in by_tags.iter_mut().zip(accepting) {
                *word &= accepting;
            }
        }
        let by_id = self.by_id.get(&instance.id).into_iter().flatten().copied();
        let mut matching: Vec<&Schedule> = by_id.collect();
        for (word, bits) in by_tags.iter().enumerate() {
            let mut bits = *bits;
            while bits != 0 {
                matching.push(self.with_tags[word * 64 + bits.trailing_zeros() as usize]);
                bits &= bits - 1;
            }
        }
        matching.sort_by_key(|schedule| &schedule.name);
        matching.dedup_by_key(|schedule| &schedule.name);
        matching
    }
}

impl<'a> TagKey<'a> {
    /// Returns the schedules that accept `value` for this key; `None` is an instance without the tag.
    fn accepting(&mut self, value: Option<&'a String>) -> &ScheduleBits {
        let Some(value) = value else {
            return &self.without_key;
        };
        self.accepting.entry(value).or_insert_with(|| {
            let mut accepting = self.without_key.clone();
            for (index, pattern) in &self.patterns {
                if pattern.matches(value) {
                    accepting[index / 64] |= 1 << (index % 64);
                }
            }
            accepting
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::{Matcher, ScheduleName};
    use crate::test_support;
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
        /// Uses more schedules than a word has bits; some of them take most instances.
        #[test]
        fn the_cache_finds_the_same_schedule_as_the_schedule_set(
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
                .map(|tags| Instance { tags, ..test_support::instance("web") })
                .collect();
            let mut cache = ScheduleCache::new(&schedule_set);
            for instance in &fleet {
                let cached = cache.managing(instance).map(|found| found.schedule().name.clone());
                let expected = schedule_set.schedule_for(instance).map(|schedule| schedule.name.clone());
                prop_assert_eq!(cached, expected);
            }
        }
    }
}
