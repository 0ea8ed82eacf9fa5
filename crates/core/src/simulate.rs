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

pub use self::days::{ClockChange, HalfHour, SimulatedDay};
pub use self::span::{InvalidSpan, Span};
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
/// let [monday, sunday] = ["2026-03-23", "2026-03-29"].map(|date| Some(date.parse().unwrap()));
/// let now = "2026-03-25T12:00:00Z".parse().unwrap();
/// let week = Span::between(monday, sunday, office.timetable.time_zone(), now).unwrap();
///
/// let simulation = Simulation::of(&office, week, &[]);
/// assert_eq!(simulation.on_hours, 60.0);
/// assert_eq!(simulation.hours, 167.0); // the clocks change on that Sunday
/// ```
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Simulation {
    /// The name of the schedule.
    #[serde(rename = "name")]
    pub schedule: ScheduleName,
    /// The name of the time zone of the days; for a combined schedule that of the first one.
    #[serde(rename = "timezone")]
    pub time_zone: String,
    /// The beginning of the span, inclusive.
    #[serde(rename = "since")]
    pub from: Timestamp,
    /// The end of the span, exclusive.
    #[serde(rename = "until")]
    pub to: Timestamp,
    /// The intervals in which the desired state is running, in order; no two touch.
    pub running: Vec<Interval>,
    /// The intervals without a desired state, in order; no two touch.
    pub unmanaged: Vec<Interval>,
    /// The edges in the span, in order.
    pub edges: Vec<Edge>,
    /// The hours in the span: the running time around the clock.
    pub hours: f64,
    /// The hours in which the desired state is running.
    pub on_hours: f64,
    /// The hours in which the desired state is stopped.
    pub off_hours: f64,
    /// The hours without a desired state.
    pub unmanaged_hours: f64,
    /// The share of `hours` that is off, from 0 to 1; null if there are hours without a desired state.
    pub off_share: Option<f64>,
    /// The instances, by type, with their cost; empty unless instances are counted.
    pub costs: Vec<SimulatedCost>,
    /// Why shares and costs are missing: one sentence; null if they are not.
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
    #[serde(rename = "since")]
    pub from: Timestamp,
    /// The end, exclusive.
    #[serde(rename = "until")]
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

/// Instances of one type that one schedule manages, and their price.
#[derive(Clone, Debug, PartialEq)]
pub struct InstanceCount {
    /// The instance type, such as `t3.micro`; `None` if it is not known.
    pub instance_type: Option<String>,
    /// The number of instances.
    pub count: u32,
    /// The price per instance and hour, in the currency of the configuration; `None` if the configuration has none for the type.
    pub per_hour: Option<f64>,
}

/// The cost of the instances of one type over the span. Amounts are in the currency of the configuration, and null without a
/// price, or if the running hours are not known.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SimulatedCost {
    /// The instance type, such as `t3.micro`; null if it is not known.
    pub instance_type: Option<String>,
    /// The number of instances.
    pub count: u32,
    /// The price per instance and hour.
    pub per_hour: Option<f64>,
    /// The cost of the hours in which the schedule keeps the instances running.
    pub cost: Option<f64>,
    /// The cost of running around the clock.
    pub cost_always: Option<f64>,
    /// The difference between the two.
    pub saved: Option<f64>,
}

/// The sums over all schedules and instance types. Amounts are in the currency of the configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SimulatedTotal {
    /// The number of instances.
    pub count: u32,
    /// The number of those without a cost: their type has no price, or their running hours are not known.
    pub unpriced_count: u32,
    /// The cost of the hours in which the schedules keep the instances running.
    pub cost: f64,
    /// The cost of running around the clock.
    pub cost_always: f64,
    /// The difference between the two.
    pub saved: f64,
}

impl SimulatedTotal {
    /// Adds the costs of all simulations; `None` if no instances are counted.
    pub fn of(simulations: &[Simulation]) -> Option<Self> {
        let costs = simulations.iter().flat_map(|simulation| &simulation.costs);
        let mut total = None::<Self>;
        for one in costs {
            let total = total.get_or_insert_default();
            total.count += one.count;
            let (Some(cost), Some(always), Some(saved)) = (one.cost, one.cost_always, one.saved)
            else {
                total.unpriced_count += one.count;
                continue;
            };
            total.cost = to_cents(total.cost + cost);
            total.cost_always = to_cents(total.cost_always + always);
            total.saved = to_cents(total.saved + saved);
        }
        total
    }
}

impl Simulation {
    /// Simulates `schedule` over `span`, with a cost for each of `instances`.
    pub fn of(schedule: &Schedule, span: Span, instances: &[InstanceCount]) -> Self {
        let timetable = &schedule.timetable;
        let zone = timetable.time_zone().clone();
        let (from, to) = (span.from(), span.to());
        let edges = edges(timetable, span);
        let (running, unmanaged) = intervals(timetable, span, &edges);
        let on = total(&running);
        let without = total(&unmanaged);
        let all = in_hours(to.duration_since(from));
        let known = unmanaged.is_empty();
        let cost = |it: &InstanceCount| {
            let hourly = it.per_hour.filter(|_| known);
            let hourly = hourly.map(|price| price * f64::from(it.count));
            let amounts = hourly.map(|hourly| (to_cents(hourly * on), to_cents(hourly * all)));
            SimulatedCost {
                instance_type: it.instance_type.clone(),
                count: it.count,
                per_hour: it.per_hour,
                cost: amounts.map(|(cost, _)| cost),
                cost_always: amounts.map(|(_, always)| always),
                // The difference of the rounded amounts, so that the printed figures add up.
                saved: amounts.map(|(cost, always)| to_cents(always - cost)),
            }
        };
        Self {
            schedule: schedule.name.clone(),
            time_zone: zone.iana_name().unwrap_or("UTC").to_owned(),
            from,
            to,
            days: days::of(span, &zone, &running, &unmanaged, &edges),
            hours: rounded(all, 100.0),
            on_hours: rounded(on, 100.0),
            off_hours: rounded(all - on - without, 100.0),
            unmanaged_hours: rounded(without, 100.0),
            off_share: known.then(|| rounded(1.0 - on / all, 1000.0)),
            costs: instances.iter().map(cost).collect(),
            note: (!known).then(|| note(without)),
            running,
            unmanaged,
            edges,
            zone,
        }
    }
}

fn to_cents(amount: f64) -> f64 {
    rounded(amount, 100.0)
}

fn rounded(value: f64, parts: f64) -> f64 {
    (value * parts).round() / parts
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
        "no desired state for {} h: the running time then depends on manual starts, so no share and no cost are computed",
        rounded(hours, 10.0)
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
