//! The simulation of a schedule over a span of time: the intervals in which instances run, their hours compared with running
//! around the clock, and the cost. Rendering is done by the command line.
//!
//! A simulation evaluates [`Timetable::desired`] alone. It has no instances: overrides, requests, catch-up and manual changes
//! are not simulated. Without a desired state (which a schedule with only stops never has) the running hours depend on manual
//! starts, so neither a percentage nor a cost is computed.

mod days;
mod span;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan as _};
use serde::Serialize;

pub use self::days::{HalfHour, SimulatedDay};
pub use self::span::{Bound, InvalidBound, InvalidSpan, Span};
use crate::schedule::{Schedule, ScheduleName};
use crate::timetable::{Desired, Edge, Timetable};

/// The result of simulating one schedule over one span.
///
/// ```
/// use curfew_core::schedule::Schedule;
/// use curfew_core::simulate::{Simulation, Span};
/// use curfew_core::timetable::Timetable;
///
/// let timetable = Timetable::parse_inline("Mon-Fri 08:00-20:00 Europe/Paris").unwrap();
/// let office = Schedule::new("office".parse().unwrap(), timetable);
/// let week = Span::week_of("2026-03-25T12:00:00Z".parse().unwrap(), office.timetable.time_zone()).unwrap();
///
/// let simulation = Simulation::of(&office, week, &[]);
/// assert_eq!(simulation.hours, 60.0);
/// assert_eq!(simulation.hours_always, 167.0); // the clocks change on that Sunday
/// ```
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Simulation {
    /// The name of the schedule.
    pub schedule: ScheduleName,
    /// The name of the time zone of the days; for a combined schedule that of the first one.
    pub time_zone: String,
    /// The beginning of the span, inclusive.
    pub from: Timestamp,
    /// The end of the span, exclusive.
    pub to: Timestamp,
    /// The intervals in which the desired state is running, in order; no two touch.
    pub running: Vec<Interval>,
    /// The intervals without a desired state, in order; no two touch.
    pub unmanaged: Vec<Interval>,
    /// The edges in the span, in order.
    pub edges: Vec<Edge>,
    /// The hours in which the desired state is running.
    pub hours: f64,
    /// The hours without a desired state.
    pub hours_unmanaged: f64,
    /// The hours in the span: the running time around the clock.
    pub hours_always: f64,
    /// The saved share of the hours in the span, in percent; `None` if there are hours without a desired state.
    pub percent_off: Option<f64>,
    /// The cost for each price; empty if there are hours without a desired state.
    pub cost: Vec<SimulatedCost>,
    /// The reason for missing figures.
    pub note: Option<String>,
    /// The days that the span touches, for rendering.
    #[serde(skip)]
    pub days: Vec<SimulatedDay>,
    /// The time zone of the days.
    #[serde(skip)]
    pub zone: TimeZone,
}

/// A half-open interval of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Interval {
    /// The beginning, inclusive.
    pub from: Timestamp,
    /// The end, exclusive.
    pub to: Timestamp,
}

impl Interval {
    /// Returns the length of the interval.
    pub fn length(self) -> SignedDuration {
        self.to.duration_since(self.from)
    }

    /// Returns the part of the interval between `from` and `to`, if any.
    pub fn within(self, from: Timestamp, to: Timestamp) -> Option<Self> {
        let part = Self {
            from: self.from.max(from),
            to: self.to.min(to),
        };
        (part.from < part.to).then_some(part)
    }
}

/// The price of running instances of one type.
#[derive(Clone, Debug, PartialEq)]
pub struct Price {
    /// The instance type, such as `t3.micro`.
    pub instance_type: String,
    /// The price per instance and hour, in the currency of the configuration.
    pub per_hour: f64,
    /// The number of instances.
    pub count: u32,
}

/// The cost of one price over the span.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SimulatedCost {
    /// The instance type, such as `t3.micro`.
    pub instance_type: String,
    /// The number of instances.
    pub count: u32,
    /// The price per instance and hour.
    pub per_hour: f64,
    /// The cost of the scheduled hours.
    pub scheduled: f64,
    /// The cost of running around the clock.
    pub always: f64,
    /// The difference between the two.
    pub saved: f64,
}

impl Simulation {
    /// Simulates `schedule` over `span`, with a cost for each of `prices`.
    pub fn of(schedule: &Schedule, span: Span, prices: &[Price]) -> Self {
        let timetable = &schedule.timetable;
        let zone = timetable.time_zone().clone();
        let (from, to) = (span.from(), span.to());
        let edges = edges(timetable, span);
        let (running, unmanaged) = intervals(timetable, span, &edges);
        let hours = total(&running);
        let hours_unmanaged = total(&unmanaged);
        let hours_always = in_hours(to.duration_since(from));
        let known = unmanaged.is_empty();
        let cost = |price: &Price| {
            let hourly = price.per_hour * f64::from(price.count);
            SimulatedCost {
                instance_type: price.instance_type.clone(),
                count: price.count,
                per_hour: price.per_hour,
                scheduled: hourly * hours,
                always: hourly * hours_always,
                saved: hourly * (hours_always - hours),
            }
        };
        Self {
            schedule: schedule.name.clone(),
            time_zone: zone.iana_name().unwrap_or("UTC").to_owned(),
            from,
            to,
            days: days::of(span, &zone, &running, &unmanaged, &edges),
            percent_off: known.then(|| 100.0 * (1.0 - hours / hours_always)),
            cost: prices.iter().filter(|_| known).map(cost).collect(),
            note: (!known).then(|| note(hours_unmanaged)),
            running,
            unmanaged,
            edges,
            hours,
            hours_unmanaged,
            hours_always,
            zone,
        }
    }
}

fn edges(timetable: &Timetable, span: Span) -> Vec<Edge> {
    // The span includes an edge at its beginning.
    let before = span.from().saturating_sub(1.nanosecond());
    let before = before.unwrap_or(span.from());
    timetable
        .edges(before)
        .take_while(|edge| edge.at < span.to())
        .collect()
}

/// Returns the intervals with the desired state running, and those without a desired state. It changes only at edges.
fn intervals(timetable: &Timetable, span: Span, edges: &[Edge]) -> (Vec<Interval>, Vec<Interval>) {
    let (mut running, mut unmanaged) = (Vec::new(), Vec::new());
    let mut from = span.from();
    let mut desired = timetable.desired(from);
    let mut close = |from, to, desired| {
        let interval = Interval { from, to };
        match desired {
            Desired::Running => running.push(interval),
            Desired::Unmanaged => unmanaged.push(interval),
            Desired::Stopped => {}
        }
    };
    for edge in edges.iter().filter(|edge| edge.at > span.from()) {
        let next = timetable.desired(edge.at);
        if next != desired {
            close(from, edge.at, desired);
            (from, desired) = (edge.at, next);
        }
    }
    close(from, span.to(), desired);
    (running, unmanaged)
}

fn note(hours: f64) -> String {
    format!(
        "no desired state for {} h: running time then depends on manual starts, so no percentage and no cost are computed",
        format_number(hours)
    )
}

fn total(intervals: &[Interval]) -> f64 {
    let length: SignedDuration = intervals
        .iter()
        .fold(SignedDuration::ZERO, |sum, interval| {
            sum + interval.length()
        });
    in_hours(length)
}

/// Converts a length of time to hours.
pub fn in_hours(length: SignedDuration) -> f64 {
    length.as_secs_f64() / 3600.0
}

/// Formats a number for display, with one decimal unless it is a whole number.
pub fn format_number(number: f64) -> String {
    let text = format!("{number:.1}");
    text.strip_suffix(".0").map(str::to_owned).unwrap_or(text)
}
