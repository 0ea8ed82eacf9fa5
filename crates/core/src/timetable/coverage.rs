//! The running time that a set of windows gives one day, minute by minute, and the edges at which it begins and ends.

use jiff::civil::Date;

use super::Action;
use super::calendar::{DAY, DateBounds, Days, Month, Wall, day_bit, has_edges};
use super::dates::DateSet;
use super::window::Window;

/// The minutes of a day as a bit set.
type Minutes = [u64; WORDS];
const WORDS: usize = (DAY as usize).div_ceil(64);

/// Windows, each with its minutes precomputed.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Coverage {
    windows: Vec<WindowMinutes>,
}

#[derive(Clone, Debug, PartialEq)]
struct WindowMinutes {
    window: Window,
    /// The window's minutes on the day on which it begins and on each following day, up to the one on which it ends.
    days: Vec<Minutes>,
}

/// Days without running time (`except`), and the days to which starts and running time are limited (`only`).
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Exceptions {
    pub(super) except: DateSet,
    pub(super) only: DateSet,
    /// The dates between which edges are possible, from `only`.
    pub(super) bounds: DateBounds,
}

impl Exceptions {
    pub(super) fn new(except: DateSet, only: DateSet) -> Self {
        let bounds = only.bounds();
        Self {
            except,
            only,
            bounds,
        }
    }

    /// Returns the days of `month` on which starts are allowed.
    pub(super) fn open(&self, month: Month) -> Days {
        self.listed(month) & !self.except.of(month)
    }

    /// Returns the days of `month` that `only` lists, or all days when `only` is empty.
    pub(super) fn listed(&self, month: Month) -> Days {
        if self.only.is_empty() {
            month.all()
        } else {
            self.only.of(month)
        }
    }
}

impl Coverage {
    pub(super) fn new(windows: Vec<Window>) -> Self {
        let windows = windows
            .into_iter()
            .map(|window| WindowMinutes {
                days: (0..=window.end_day())
                    .map(|day| {
                        let on = |minute: u16| minute.saturating_sub(day * DAY).min(DAY);
                        minutes(on(window.from()), on(window.to()))
                    })
                    .collect(),
                window,
            })
            .collect();
        Self { windows }
    }

    pub(super) fn windows(&self) -> impl ExactSizeIterator<Item = &Window> {
        self.windows
            .iter()
            .map(|window_minutes| &window_minutes.window)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.windows.is_empty()
    }

    /// Returns the first edge after `after`, in wall time.
    pub(super) fn next(&self, after: Wall, exceptions: &Exceptions) -> Option<(Wall, Action)> {
        if self.is_empty() {
            return None;
        }
        let today = self
            .edges_of(after.date, exceptions)
            .first_from(after.minute + 1)
            .map(|(minute, action)| (Wall { minute, ..after }, action));
        if today.is_some() {
            return today;
        }
        let mut from = after.date;
        loop {
            from = from.tomorrow().ok()?;
            let date = exceptions
                .bounds
                .first_day_from(from, |month| self.may_change(month, exceptions))?;
            if let Some((minute, action)) = self.edges_of(date, exceptions).first_from(0) {
                return Some((Wall { date, minute }, action));
            }
            from = date;
        }
    }

    /// Returns the last edge at or before `until`, in wall time.
    pub(super) fn previous(&self, until: Wall, exceptions: &Exceptions) -> Option<(Wall, Action)> {
        if self.is_empty() {
            return None;
        }
        let today = self
            .edges_of(until.date, exceptions)
            .last_until(until.minute)
            .map(|(minute, action)| (Wall { minute, ..until }, action));
        if today.is_some() {
            return today;
        }
        let mut until = until.date;
        loop {
            until = until.yesterday().ok()?;
            let date = exceptions
                .bounds
                .last_day_until(until, |month| self.may_change(month, exceptions))?;
            if let Some((minute, action)) = self.edges_of(date, exceptions).last_until(DAY - 1) {
                return Some((Wall { date, minute }, action));
            }
            until = date;
        }
    }

    /// Returns the days of `month` that can have an edge: every day from the one on which a window begins to the one on which
    /// it ends. Days inside a run of whole days have no edge; leaving them out keeps the search short for a schedule that
    /// always runs.
    fn may_change(&self, month: Month, exceptions: &Exceptions) -> Days {
        let mut may = 0;
        let mut whole = 0;
        let mut carried_whole = false;
        let before = month.previous();
        let open = exceptions.open(month);
        for window_minutes in &self.windows {
            let days = window_minutes.window.days(month);
            let days_before = before.map(|before| (before, window_minutes.window.days(before)));
            for later in 0..=window_minutes.window.end_day() {
                may |= days << later;
                if let Some((before, days)) = days_before {
                    may |= Days::try_from(u64::from(days) << later >> before.length)
                        .unwrap_or(Days::MAX);
                }
            }
            let is_whole = window_minutes.window.from() == 0 && window_minutes.window.to() == DAY;
            if is_whole {
                whole |= days & open;
            }
            if let Some((before, days)) = days_before {
                let last = day_bit(before.length);
                carried_whole |= is_whole && days & exceptions.open(before) & last != 0;
            }
        }
        let inside_whole = whole & (whole << 1 | Days::from(carried_whole) << 1);
        may & month.all() & !inside_whole
    }

    /// Computes the edges of the day `date`.
    fn edges_of(&self, date: Date, exceptions: &Exceptions) -> DayEdges {
        if !has_edges(date) {
            return DayEdges::new(&[0; WORDS], &[0; WORDS], false);
        }
        let mut covered: Minutes = [0; WORDS];
        let mut ends: Minutes = [0; WORDS];
        let mut carry = false;
        let today = DayKind::of(date, exceptions);
        let mut yesterday_excepted = false;
        let longest = self.windows.iter().map(|it| it.days.len()).max();
        let mut begin = Some(date);
        for later in 0..longest.unwrap_or(0).max(2) {
            let Some(day) = begin.map(|day| DayKind::of(day, exceptions)) else {
                break;
            };
            begin = begin.and_then(|day| day.yesterday().ok());
            if later == 1 {
                yesterday_excepted = day.excepted;
            }
            if !day.listed {
                continue;
            }
            for window_minutes in &self.windows {
                let Some(minutes) = window_minutes
                    .days
                    .get(later)
                    .filter(|_| day.has(&window_minutes.window))
                else {
                    continue;
                };
                // A window ends with a stop, even if an exception removed its running time.
                if usize::from(window_minutes.window.end_day()) == later {
                    mark(&mut ends, window_minutes.window.to() % DAY);
                }
                if day.excepted {
                    continue;
                }
                if !today.excepted {
                    add(&mut covered, minutes);
                }
                // A window that continues into this day was running at the end of the day before.
                carry |= later > 0 && !yesterday_excepted;
            }
        }
        DayEdges::new(&covered, &ends, carry)
    }
}

/// One day, and whether `only` lists it and `except` takes it out.
struct DayKind {
    month: Month,
    bit: Days,
    listed: bool,
    excepted: bool,
}

impl DayKind {
    fn of(date: Date, exceptions: &Exceptions) -> Self {
        let month = Month::of(date);
        let bit = day_bit(date.day());
        Self {
            listed: has_edges(date)
                && (exceptions.only.is_empty() || exceptions.only.of(month) & bit != 0),
            excepted: !exceptions.except.is_empty() && exceptions.except.of(month) & bit != 0,
            month,
            bit,
        }
    }

    fn has(&self, window: &Window) -> bool {
        window.days(self.month) & self.bit != 0
    }
}

/// The minutes of one day at which running time begins and ends.
struct DayEdges {
    starts: Minutes,
    stops: Minutes,
}

impl DayEdges {
    /// `covered` is the day's running time, `ends` are the ends of windows (a stop where no running time covers them), and
    /// `carry` is whether the day before ended with running time.
    fn new(covered: &Minutes, ends: &Minutes, carry: bool) -> Self {
        let (mut starts, mut stops) = ([0; WORDS], [0; WORDS]);
        let mut previous = u64::from(carry);
        for word in 0..WORDS {
            let shifted = covered[word] << 1 | previous;
            starts[word] = covered[word] & !shifted;
            stops[word] = !covered[word] & (shifted | ends[word]);
            previous = covered[word] >> 63;
        }
        // The last word has more bits than the day has minutes.
        stops[WORDS - 1] &= u64::MAX >> (WORDS * 64 - usize::from(DAY));
        Self { starts, stops }
    }

    fn first_from(&self, minute: u16) -> Option<(u16, Action)> {
        if minute >= DAY {
            return None;
        }
        let mut mask = u64::MAX << (minute % 64);
        for word in usize::from(minute / 64)..WORDS {
            let bits = (self.starts[word] | self.stops[word]) & mask;
            if bits != 0 {
                return Some(self.edge(word, bits.trailing_zeros()));
            }
            mask = u64::MAX;
        }
        None
    }

    fn last_until(&self, minute: u16) -> Option<(u16, Action)> {
        let mut mask = u64::MAX >> (63 - minute % 64);
        for word in (0..=usize::from(minute / 64)).rev() {
            let bits = (self.starts[word] | self.stops[word]) & mask;
            if bits != 0 {
                return Some(self.edge(word, bits.ilog2()));
            }
            mask = u64::MAX;
        }
        None
    }

    fn edge(&self, word: usize, bit: u32) -> (u16, Action) {
        let minute = u16::try_from(word * 64).expect("a day has 23 words")
            + u16::try_from(bit).expect("a word has 64 bits");
        let action = if self.starts[word] & (1 << bit) == 0 {
            Action::Stop
        } else {
            Action::Start
        };
        (minute, action)
    }
}

/// Returns the bit set of the minutes `from..to`.
fn minutes(from: u16, to: u16) -> Minutes {
    let mut minutes = [0; WORDS];
    for minute in from..to {
        mark(&mut minutes, minute);
    }
    minutes
}

/// Sets the bit of one minute. Minutes beyond the end of the day are ignored; they belong to the next day.
fn mark(minutes: &mut Minutes, minute: u16) {
    if let Some(word) = minutes.get_mut(usize::from(minute / 64))
        && minute < DAY
    {
        *word |= 1 << (minute % 64);
    }
}

fn add(minutes: &mut Minutes, more: &Minutes) {
    for (word, more) in minutes.iter_mut().zip(more) {
        *word |= more;
    }
}
