//! Breadth-first search over all states of a model: the first trace found to a violation is a shortest one.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::hash::{BuildHasherDefault, Hash, Hasher};

/// A system whose behaviours are all explored.
pub(crate) trait Model {
    type State: Copy + Eq + Hash;
    type Event: Copy;
    type Violation: Copy + Ord + fmt::Display;

    fn initial(&self) -> Vec<Self::State>;

    /// All events that may happen next, with the violations that they are.
    fn next(&mut self, state: &Self::State) -> Vec<Next<Self>>;

    /// The violations of a state.
    fn check(&mut self, state: &Self::State) -> Vec<Self::Violation>;

    /// One line of a trace.
    fn describe(&mut self, before: &Self::State, event: Self::Event, after: &Self::State)
    -> String;

    /// The last line of a trace, or its first.
    fn describe_state(&self, state: &Self::State) -> String;
}

pub(crate) struct Next<M: Model + ?Sized> {
    pub(crate) event: M::Event,
    pub(crate) state: M::State,
    pub(crate) violation: Option<M::Violation>,
}

/// The result of an exploration.
pub(crate) struct Report<V> {
    pub(crate) states: usize,
    pub(crate) transitions: usize,
    /// The count of each violation, and a shortest trace to it.
    pub(crate) violations: BTreeMap<V, (usize, String)>,
}

impl<V: Ord + fmt::Display> fmt::Display for Report<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} states, {} transitions",
            self.states, self.transitions
        )?;
        for (violation, (count, trace)) in &self.violations {
            writeln!(f, "\n{violation} ({count} times), first:\n{trace}")?;
        }
        Ok(())
    }
}

/// Visits every state that can be reached. Panics beyond `bound` states: an exploration that was cut short proves nothing.
pub(crate) fn explore<M: Model>(model: &mut M, bound: usize) -> Report<M::Violation> {
    let mut search = Search {
        visited: Vec::new(),
        known: HashMap::default(),
    };
    for state in model.initial() {
        search.add(state, None);
    }
    let mut report = Report {
        states: 0,
        transitions: 0,
        violations: BTreeMap::new(),
    };
    let mut place = 0;
    while place < search.visited.len() {
        assert!(place < bound, "more than {bound} states");
        let state = search.visited[place].0;
        for violation in model.check(&state) {
            let met = report.violations.entry(violation).or_default();
            met.0 += 1;
            if met.0 == 1 {
                met.1 = search.trace(model, place, None);
            }
        }
        for next in model.next(&state) {
            report.transitions += 1;
            if let Some(violation) = next.violation {
                let met = report.violations.entry(violation).or_default();
                met.0 += 1;
                if met.0 == 1 {
                    met.1 = search.trace(model, place, Some((next.event, next.state)));
                }
            }
            search.add(next.state, Some((place, next.event)));
        }
        place += 1;
    }
    report.states = search.visited.len();
    report
}

/// The states in the order in which they were found, each with the state and event that it was reached from.
struct Search<M: Model> {
    visited: Vec<(M::State, Origin<M>)>,
    known: HashMap<M::State, usize, FastHasher>,
}

/// The predecessor of a state, and the event that led to the state.
type Origin<M> = Option<(usize, <M as Model>::Event)>;

impl<M: Model> Search<M> {
    fn add(&mut self, state: M::State, from: Origin<M>) {
        if let Entry::Vacant(entry) = self.known.entry(state) {
            entry.insert(self.visited.len());
            self.visited.push((state, from));
        }
    }

    fn trace(&self, model: &mut M, place: usize, then: Option<(M::Event, M::State)>) -> String {
        let mut path = vec![place];
        let mut at = place;
        while let Some((before, _)) = self.visited[at].1 {
            path.push(before);
            at = before;
        }
        path.reverse();
        let mut lines = vec![format!("  {}", model.describe_state(&self.visited[at].0))];
        for pair in path.windows(2) {
            let (after, from) = self.visited[pair[1]];
            let (_, event) = from.expect("only an initial state has no predecessor");
            lines.push(format!(
                "  - {}",
                model.describe(&self.visited[pair[0]].0, event, &after)
            ));
        }
        let last = self.visited[place].0;
        match then {
            Some((event, state)) => {
                lines.push(format!("  - {}", model.describe(&last, event, &state)));
            }
            None => lines.push(format!("  = {}", model.describe_state(&last))),
        }
        lines.join("\n")
    }
}

/// The hasher of states: tests are not optimized, and the standard hasher would take most of the time.
pub(crate) type FastHasher = BuildHasherDefault<MultiplicativeHasher>;

/// Knuth's multiplicative hashing. It does not resist chosen collisions, which do not occur here.
#[derive(Default)]
pub(crate) struct MultiplicativeHasher(u64);

impl Hasher for MultiplicativeHasher {
    fn finish(&self) -> u64 {
        // The table uses the highest and the lowest bits.
        self.0 ^ (self.0 >> 32)
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u8(&mut self, value: u8) {
        self.write_u64(u64::from(value));
    }

    fn write_u16(&mut self, value: u16) {
        self.write_u64(u64::from(value));
    }

    fn write_u32(&mut self, value: u32) {
        self.write_u64(u64::from(value));
    }

    fn write_i32(&mut self, value: i32) {
        self.write_u64(u64::from(value.cast_unsigned()));
    }

    fn write_isize(&mut self, value: isize) {
        self.write_u64(value.cast_unsigned() as u64);
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = (self.0.rotate_left(5) ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}
