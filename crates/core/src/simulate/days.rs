//! The days of a simulation, each divided into half hours.

use jiff::civil::{Date, DateTime};
use jiff::tz::{Offset, TimeZone};
use jiff::{SignedDuration, Timestamp, ToSpan as _};

use super::span::midnight;
use super::{Interval, Span};
use crate::timetable::Edge;

/// A day in the schedule's time zone. It is a whole day, even if the span begins or ends inside it.
#[derive(Clone, Debug, PartialEq)]
pub struct SimulatedDay {
    /// The date in the schedule's time zone.
    pub date: Date,
    /// The beginning of the day, inclusive.
    pub from: Timestamp,
    /// The beginning of the next day, exclusive.
    pub to: Timestamp,
    /// The half hours from midnight on in elapsed time: 48, or more or fewer on a day on which the clocks change.
    pub cells: Vec<HalfHour>,
    /// The edges on this day, in order.
    pub edges: Vec<Edge>,
    /// The intervals in which the desired state is running.
    pub running: Vec<Interval>,
    /// The intervals without a desired state.
    pub unmanaged: Vec<Interval>,
    /// The clock change on this day, if any.
    pub clock_change: Option<ClockChange>,
}

/// A change of the clocks, at the beginning or end of daylight saving time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockChange {
    /// The instant of the change.
    pub at: Timestamp,
    /// The offset from UTC before the change.
    pub before: Offset,
    /// The offset from UTC from the change on.
    pub after: Offset,
}

impl ClockChange {
    /// Returns the first clock change after `from` and before `to`.
    fn between(from: Timestamp, to: Timestamp, zone: &TimeZone) -> Option<Self> {
        let transitions = zone.following(from);
        let mut transitions = transitions.take_while(|transition| transition.timestamp() < to);
        transitions.find_map(|transition| {
            let at = transition.timestamp();
            let before = zone.to_offset(at.saturating_sub(1.nanosecond()).ok()?);
            let after = transition.offset();
            (before != after).then_some(Self { at, before, after })
        })
    }

    /// Returns the local time that the clocks show right before the change, were it not made, and the one that they show from it on.
    pub fn local(self) -> (DateTime, DateTime) {
        (
            self.before.to_datetime(self.at),
            self.after.to_datetime(self.at),
        )
    }
}

/// The desired state during one half hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HalfHour {
    /// Running all the time.
    Running,
    /// Running part of the time.
    Partly,
    /// Stopped all the time.
    Stopped,
    /// Never running, and part of the time without a desired state.
    Unmanaged,
    /// The half hour is not in the span.
    OutsideSpan,
}

const CELL: SignedDuration = SignedDuration::from_mins(30);

impl SimulatedDay {
    /// Returns the length of the day in elapsed time.
    pub fn length(&self) -> SignedDuration {
        self.to.duration_since(self.from)
    }
}

pub(super) fn of(
    span: Span,
    zone: &TimeZone,
    running: &[Interval],
    unmanaged: &[Interval],
    edges: &[Edge],
) -> Vec<SimulatedDay> {
    let mut days = Vec::new();
    let mut date = zone.to_datetime(span.from()).date();
    let in_range = "a span lies within the years of schedules";
    let mut from = midnight(date, zone).expect(in_range);
    while from < span.to() {
        let tomorrow = date.tomorrow().expect(in_range);
        let to = midnight(tomorrow, zone).expect(in_range);
        // A date that the zone skips is empty. In a fold at midnight the previous date occurs again after its day has ended.
        if to > from && to > span.from() {
            let mut day = SimulatedDay {
                date,
                from,
                to,
                cells: Vec::new(),
                edges: edges_within(edges, from, to).to_vec(),
                running: within(running, from, to),
                unmanaged: within(unmanaged, from, to),
                clock_change: ClockChange::between(from, to, zone),
            };
            day.cells = cells(&day, span);
            days.push(day);
        }
        (date, from) = (tomorrow, to);
    }
    days
}

fn cells(day: &SimulatedDay, span: Span) -> Vec<HalfHour> {
    let next = |from: &Timestamp| from.checked_add(CELL).ok().filter(|from| *from < day.to);
    std::iter::successors(Some(day.from), next)
        .map(|from| {
            let to = from.checked_add(CELL).map_or(day.to, |to| to.min(day.to));
            let cell = Interval { from, to };
            let Some(simulated) = cell.within(span.from(), span.to()) else {
                return HalfHour::OutsideSpan;
            };
            let part = within(&day.running, from, to);
            match part.as_slice() {
                [whole] if *whole == simulated => HalfHour::Running,
                [_, ..] => HalfHour::Partly,
                [] if within(&day.unmanaged, from, to).is_empty() => HalfHour::Stopped,
                [] => HalfHour::Unmanaged,
            }
        })
        .collect()
}

/// Returns the parts of `intervals`, which are sorted, between `from` and `to`.
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
