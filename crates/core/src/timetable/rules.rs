//! The edges of crons, windows and dates in one time zone.
//!
//! Three sources of edges are searched separately, and the nearest edge is taken; where a start and a stop fall on one
//! instant, start wins.
//!
//! - *Windows* give one start and one stop for each run of running time ([`super::coverage`] computes the wall times).
//! - *Crons* give their starts and stops.
//! - *Cuts*: an excepted day interrupts a run that a start cron began, and the run continues after it.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::calendar::{DateBounds, Days, Month, Wall};
use super::clock::{in_gap, instant_of, is_jump, latest_wall, wall_at};
use super::coverage::{Coverage, Exceptions};
use super::cron::Cron;
use super::{Action, Desired, Edge};

/// The crons, windows and exceptions of one timetable without `any_of`, in its time zone.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ZonedRules {
    pub(super) zone: TimeZone,
    pub(super) starts: Vec<Cron>,
    pub(super) stops: Vec<Cron>,
    pub(super) coverage: Coverage,
    pub(super) exceptions: Exceptions,
}

impl ZonedRules {
    /// Returns whether there is a desired state between edges: with windows, or with both start and stop crons.
    pub(super) fn has_desired_state(&self) -> bool {
        !self.coverage.is_empty() || (!self.starts.is_empty() && !self.stops.is_empty())
    }

    pub(super) fn desired(&self, at: Timestamp) -> Desired {
        if !self.has_desired_state() {
            return Desired::Unmanaged;
        }
        match self.last_edge(at).map(|edge| edge.action) {
            Some(Action::Start) => Desired::Running,
            None if self.coverage.is_empty() => Desired::Unmanaged,
            Some(Action::Stop) | None => Desired::Stopped,
        }
    }

    pub(super) fn next_edge(&self, after: Timestamp) -> Option<Edge> {
        let start = self.next_start(after).map(Edge::start);
        let stop = self.next_stop(after).map(Edge::stop);
        let window = self.next_window_edge(after);
        let cut = self.next_cut(after);
        [start, stop, window, cut]
            .into_iter()
            .flatten()
            .min_by_key(Edge::order)
    }

    pub(super) fn last_edge(&self, at: Timestamp) -> Option<Edge> {
        let start = self.last_start(at).map(Edge::start);
        let stop = self.last_stop(at).map(Edge::stop);
        let window = self.last_window_edge(at);
        let cut = self.last_cut(at);
        [start, stop, window, cut]
            .into_iter()
            .flatten()
            // Of several edges at one instant a start wins: it is the last in this order.
            .max_by_key(|edge| (edge.at, edge.action == Action::Start))
    }

    // --- crons -------------------------------------------------------------------------------------------------

    fn next_start(&self, after: Timestamp) -> Option<Timestamp> {
        self.next_of(&self.starts, after, self.exceptions.bounds, |month| {
            self.exceptions.open(month)
        })
    }

    fn last_start(&self, at: Timestamp) -> Option<Timestamp> {
        self.last_of(&self.starts, at, self.exceptions.bounds, |month| {
            self.exceptions.open(month)
        })
    }

    /// Returns the next stop of the crons. Stops also fire on excepted days. On a day that `only` does not list, only the stop
    /// that ends a run from a listed day fires.
    fn next_stop(&self, after: Timestamp) -> Option<Timestamp> {
        let listed = self.next_of(&self.stops, after, self.exceptions.bounds, |month| {
            self.exceptions.listed(month)
        });
        if self.exceptions.only.is_empty() {
            return listed;
        }
        let closing = self
            .last_start(after)
            .and_then(|start| self.next_of(&self.stops, start, DateBounds::ALL, Month::all))
            .filter(|stop| *stop > after);
        listed.into_iter().chain(closing).min()
    }

    fn last_stop(&self, at: Timestamp) -> Option<Timestamp> {
        let listed = self.last_of(&self.stops, at, self.exceptions.bounds, |month| {
            self.exceptions.listed(month)
        });
        if self.exceptions.only.is_empty() {
            return listed;
        }
        let closing = self
            .last_start(at)
            .and_then(|start| self.next_of(&self.stops, start, DateBounds::ALL, Month::all))
            .filter(|stop| *stop <= at);
        listed.into_iter().chain(closing).max()
    }

    fn next_of(
        &self,
        crons: &[Cron],
        after: Timestamp,
        bounds: DateBounds,
        allowed: impl Fn(Month) -> Days + Copy,
    ) -> Option<Timestamp> {
        if crons.is_empty() {
            return None;
        }
        let wall = wall_at(&self.zone, after);
        crons
            .iter()
            .filter_map(|cron| {
                let mut wall = wall;
                loop {
                    wall = cron.next(wall, bounds, allowed)?;
                    let at = instant_of(&self.zone, wall);
                    // In the second pass of a fold, wall times of the first pass are found again.
                    if at > after {
                        return Some(at);
                    }
                }
            })
            .min()
    }

    fn last_of(
        &self,
        crons: &[Cron],
        at: Timestamp,
        bounds: DateBounds,
        allowed: impl Fn(Month) -> Days + Copy,
    ) -> Option<Timestamp> {
        if crons.is_empty() {
            return None;
        }
        let wall = latest_wall(&self.zone, at);
        crons
            .iter()
            .filter_map(|cron| cron.previous(wall, bounds, allowed))
            .max()
            .map(|wall| instant_of(&self.zone, wall))
    }

    // --- windows -----------------------------------------------------------------------------------------------

    fn next_window_edge(&self, after: Timestamp) -> Option<Edge> {
        let mut wall = wall_at(&self.zone, after);
        loop {
            let (first, mut action) = self.coverage.next(wall, &self.exceptions)?;
            wall = first;
            let at = instant_of(&self.zone, wall);
            if at <= after {
                continue;
            }
            if in_gap(&self.zone, wall) {
                while let Some((next, later)) = self.coverage.next(wall, &self.exceptions)
                    && instant_of(&self.zone, next) == at
                {
                    (wall, action) = (next, later);
                }
            }
            if first == wall || !self.continues(first, action) {
                return Some(Edge { at, action });
            }
        }
    }

    fn last_window_edge(&self, at: Timestamp) -> Option<Edge> {
        let mut until = latest_wall(&self.zone, at);
        loop {
            let (last, action) = self.coverage.previous(until, &self.exceptions)?;
            let at = instant_of(&self.zone, last);
            let mut first = last;
            if is_jump(&self.zone, at) {
                while let Some((previous, _)) = self
                    .coverage
                    .previous(minute_before(first)?, &self.exceptions)
                    && instant_of(&self.zone, previous) == at
                {
                    first = previous;
                }
            }
            if first == last || !self.continues(first, action) {
                return Some(Edge { at, action });
            }
            until = minute_before(first)?;
        }
    }

    /// Returns whether a run continues through a gap, so that there is no edge at the jump. Several window edges fall on the
    /// jump; `first` is the first of them, and `last` is the action of the last. A run that begins and ends inside the gap has
    /// no running time, but its stop fires.
    fn continues(&self, first: Wall, last: Action) -> bool {
        let before =
            minute_before(first).and_then(|wall| self.coverage.previous(wall, &self.exceptions));
        last == Action::Start && before.is_some_and(|(_, action)| action == Action::Start)
    }

    // --- cuts --------------------------------------------------------------------------------------------------

    /// Returns the next edge at which an excepted day begins or ends inside a run that a start cron began.
    fn next_cut(&self, after: Timestamp) -> Option<Edge> {
        if !self.has_cuts() {
            return None;
        }
        let start = self.last_start(after)?;
        let stop = self.next_of(&self.stops, start, DateBounds::ALL, Month::all);
        if stop.is_some_and(|stop| stop <= after) {
            return None;
        }
        let mut from = wall_at(&self.zone, after).date;
        let cut = loop {
            let date = DateBounds::ALL.first_day_from(from, |month| self.boundaries(month))?;
            let cut = self.cut_on(date);
            let tomorrow = date.tomorrow().ok()?;
            // A day that the zone skips begins at the jump, like the day after it; the day after decides the action.
            let skipped = instant_of(&self.zone, Wall::midnight(tomorrow)) == cut.at
                && self.boundaries(Month::of(tomorrow)) & super::calendar::day_bit(tomorrow.day())
                    != 0;
            if cut.at > after && !skipped {
                break cut;
            }
            from = tomorrow;
        };
        stop.is_none_or(|stop| cut.at < stop).then_some(cut)
    }

    fn last_cut(&self, at: Timestamp) -> Option<Edge> {
        if !self.has_cuts() {
            return None;
        }
        let start = self.last_start(at)?;
        let stop = self.next_of(&self.stops, start, DateBounds::ALL, Month::all);
        if stop.is_some_and(|stop| stop <= at) {
            return None;
        }
        let date = DateBounds::ALL.last_day_until(latest_wall(&self.zone, at).date, |month| {
            self.boundaries(month)
        })?;
        Some(self.cut_on(date)).filter(|cut| cut.at > start)
    }

    fn has_cuts(&self) -> bool {
        !self.exceptions.except.is_empty() && !self.starts.is_empty() && !self.stops.is_empty()
    }

    /// Returns the days of `month` at the midnight of which a run of excepted days begins or ends.
    pub(super) fn boundaries(&self, month: Month) -> Days {
        let excepted = self.exceptions.except.of(month);
        let carried = month.previous().is_some_and(|before| {
            self.exceptions.except.of(before) & super::calendar::day_bit(before.length) != 0
        });
        (excepted ^ (excepted << 1 | Days::from(carried) << 1)) & month.all()
    }

    fn cut_on(&self, date: Date) -> Edge {
        Edge {
            at: instant_of(&self.zone, Wall::midnight(date)),
            action: if self.exceptions.except.naming(date).is_some() {
                Action::Stop
            } else {
                Action::Start
            },
        }
    }
}

pub(super) fn minute_before(wall: Wall) -> Option<Wall> {
    match wall.minute.checked_sub(1) {
        Some(minute) => Some(Wall { minute, ..wall }),
        None => Some(Wall {
            date: wall.date.yesterday().ok()?,
            minute: super::calendar::DAY - 1,
        }),
    }
}

impl Edge {
    fn start(at: Timestamp) -> Self {
        Self {
            at,
            action: Action::Start,
        }
    }

    fn stop(at: Timestamp) -> Self {
        Self {
            at,
            action: Action::Stop,
        }
    }

    /// Returns the sort key: by instant, and a start before a stop.
    pub(super) fn order(&self) -> (Timestamp, bool) {
        (self.at, self.action == Action::Stop)
    }
}
