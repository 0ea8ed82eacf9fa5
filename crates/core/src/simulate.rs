//! What a schedule does over a span of time: when it wants instances running, how long that is against running all the
//! time, and what it costs. How people see it is the command line's business.
//!
//! A simulation says what the schedule wants, instant by instant, as [`Timetable::desired`] does. It knows no instances:
//! holds, requests, catch-up and what people do in between are not in it. Where a schedule has no opinion (one that only
//! stops never has any), what runs is up to people, so neither a percentage nor money is told: a night-stop "saves"
//! nothing by itself, and a figure would be made up.

mod days;
mod span;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan as _};
use serde::Serialize;

pub use self::days::{Cell, Day};
pub use self::span::{BadBound, BadSpan, Bound, Span};
use crate::schedule::{Schedule, ScheduleName};
use crate::timetable::{Desired, Edge, Timetable};

/// One schedule over one span.
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
    /// The schedule's name.
    pub schedule: ScheduleName,
    /// The zone of its days; that of the first member where several are combined.
    pub time_zone: String,
    /// Where the span begins, included.
    pub from: Timestamp,
    /// Where it ends, excluded.
    pub to: Timestamp,
    /// When it wants instances running, in order; no two touch.
    pub running: Vec<Interval>,
    /// When it has no opinion, likewise.
    pub unmanaged: Vec<Interval>,
    /// Its edges in the span, in order.
    pub edges: Vec<Edge>,
    /// Hours that it wants instances running.
    pub hours: f64,
    /// Hours without an opinion.
    pub hours_unmanaged: f64,
    /// Hours in the span: what 24×7 comes to.
    pub hours_always: f64,
    /// The part of 24×7 that is saved; nothing where there are hours without an opinion.
    pub percent_off: Option<f64>,
    /// What it costs, for each price; empty where there are hours without an opinion.
    pub cost: Vec<Cost>,
    /// What the figures leave open.
    pub note: Option<String>,
    /// The days that the span touches, for the renderings.
    #[serde(skip)]
    pub days: Vec<Day>,
    /// The zone of its days.
    #[serde(skip)]
    pub zone: TimeZone,
}

/// A stretch of time, half-open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Interval {
    /// Where it begins, included.
    pub from: Timestamp,
    /// Where it ends, excluded.
    pub to: Timestamp,
}

impl Interval {
    /// How long it is.
    pub fn length(self) -> SignedDuration {
        self.to.duration_since(self.from)
    }

    /// The part of it between `from` and `to`, if any.
    pub fn within(self, from: Timestamp, to: Timestamp) -> Option<Self> {
        let part = Self {
            from: self.from.max(from),
            to: self.to.min(to),
        };
        (part.from < part.to).then_some(part)
    }
}

/// What instances of one type cost while they run.
#[derive(Clone, Debug, PartialEq)]
pub struct Price {
    /// The instance type, such as `t3.micro`.
    pub instance_type: String,
    /// Per instance and hour, in whatever currency the configuration use.
    pub per_hour: f64,
    /// How many instances.
    pub count: u32,
}

/// A price over the span.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cost {
    /// The instance type.
    pub instance_type: String,
    /// How many instances.
    pub count: u32,
    /// Per instance and hour.
    pub per_hour: f64,
    /// By the schedule.
    pub scheduled: f64,
    /// Around the clock.
    pub always: f64,
    /// The difference.
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
            Cost {
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
    // An edge at the very beginning is in the span.
    let before = span.from().saturating_sub(1.nanosecond());
    let before = before.unwrap_or(span.from());
    timetable
        .edges(before)
        .take_while(|edge| edge.at < span.to())
        .collect()
}

/// When it wants running, and when it has no opinion. What is wanted changes at edges only.
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
        "it has no opinion for {} h: people decide what runs then, so neither a percentage nor money is told",
        short(hours)
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

/// A length of time as a number of hours.
pub fn in_hours(length: SignedDuration) -> f64 {
    length.as_secs_f64() / 3600.0
}

/// A number for people: with one decimal where it is not a whole number.
pub fn short(number: f64) -> String {
    let text = format!("{number:.1}");
    text.strip_suffix(".0").map(str::to_owned).unwrap_or(text)
}
