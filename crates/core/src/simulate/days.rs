//! The span day by day, each in half hours.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::span::midnight;
use super::{Interval, Span};
use crate::timetable::Edge;

/// A day in the schedule's zone, whole even where the span begins or ends inside it.
#[derive(Clone, Debug, PartialEq)]
pub struct Day {
    /// Its date.
    pub date: Date,
    /// When it begins.
    pub from: Timestamp,
    /// When the next one begins.
    pub to: Timestamp,
    /// Its half hours from midnight on, as time passes: 48, and on a day on which the clocks change more or fewer.
    pub cells: Vec<Cell>,
    /// Its edges.
    pub edges: Vec<Edge>,
    /// When instances are wanted running.
    pub running: Vec<Interval>,
    /// When there is no opinion.
    pub unmanaged: Vec<Interval>,
}

/// Half an hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cell {
    /// All of it wanted running.
    Running,
    /// Some of it.
    Partly,
    /// None of it.
    Stopped,
    /// None of it, and for some of it no opinion.
    Unmanaged,
    /// Not in the span.
    External,
}

/// A day as it is on clocks that don't change.
const USUAL: SignedDuration = SignedDuration::from_hours(24);
const CELL: SignedDuration = SignedDuration::from_mins(30);

impl Day {
    /// How long it is.
    pub fn length(&self) -> SignedDuration {
        self.to.duration_since(self.from)
    }

    /// Whether the clocks change on it.
    pub fn clocks_change(&self) -> bool {
        self.length() != USUAL
    }
}

pub(super) fn of(
    span: Span,
    zone: &TimeZone,
    running: &[Interval],
    unmanaged: &[Interval],
    edges: &[Edge],
) -> Vec<Day> {
    let mut days = Vec::new();
    let mut date = zone.to_datetime(span.from()).date();
    let in_range = "a span lies within the years of schedules";
    let mut from = midnight(date, zone).expect(in_range);
    while from < span.to() {
        let tomorrow = date.tomorrow().expect(in_range);
        let to = midnight(tomorrow, zone).expect(in_range);
        // Empty for a date that the zone skips. In a fold at midnight the old date comes up again, after its day.
        if to > from && to > span.from() {
            let mut day = Day {
                date,
                from,
                to,
                cells: Vec::new(),
                edges: edges_within(edges, from, to).to_vec(),
                running: within(running, from, to),
                unmanaged: within(unmanaged, from, to),
            };
            day.cells = cells(&day, span);
            days.push(day);
        }
        (date, from) = (tomorrow, to);
    }
    days
}

fn cells(day: &Day, span: Span) -> Vec<Cell> {
    let next = |from: &Timestamp| from.checked_add(CELL).ok().filter(|from| *from < day.to);
    std::iter::successors(Some(day.from), next)
        .map(|from| {
            let to = from.checked_add(CELL).map_or(day.to, |to| to.min(day.to));
            let cell = Interval { from, to };
            let Some(asked) = cell.within(span.from(), span.to()) else {
                return Cell::External;
            };
            let part = within(&day.running, from, to);
            match part.as_slice() {
                [whole] if *whole == asked => Cell::Running,
                [_, ..] => Cell::Partly,
                [] if within(&day.unmanaged, from, to).is_empty() => Cell::Stopped,
                [] => Cell::Unmanaged,
            }
        })
        .collect()
}

/// The parts of `intervals`, which are in order, between `from` and `to`.
fn within(intervals: &[Interval], from: Timestamp, to: Timestamp) -> Vec<Interval> {
    let first = intervals.partition_point(|interval| interval.to <= from);
    intervals[first..]
        .iter()
        .map_while(|interval| interval.within(from, to))
        .collect()
}

fn edges_within(edges: &[Edge], from: Timestamp, to: Timestamp) -> &[Edge] {
    let first = edges.partition_point(|edge| edge.at < from);
    let after = edges.partition_point(|edge| edge.at < to);
    &edges[first..after]
}
