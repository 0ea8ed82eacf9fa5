//! What every rendering says in the same words.

use curfew_core::simulate::{Cost, Simulation, short};
use jiff::Timestamp;

/// The hours and what they save, in one line.
pub(super) fn facts(simulation: &Simulation) -> String {
    let hours = format!(
        "runs {} h of {} h",
        short(simulation.hours),
        short(simulation.hours_always)
    );
    match simulation.percent_off {
        Some(percent) => format!("{hours}, {}% off", short(percent)),
        None => format!(
            "{hours}, no opinion for {} h",
            short(simulation.hours_unmanaged)
        ),
    }
}

/// What the instances of one price cost, in one line.
pub(super) fn sentence(cost: &Cost) -> String {
    format!(
        "{} x {} at {} an hour: {:.2} instead of {:.2}, saves {:.2}",
        cost.count, cost.instance_type, cost.per_hour, cost.scheduled, cost.always, cost.saved
    )
}

/// An instant in the schedule's zone.
pub(super) fn local(simulation: &Simulation, at: Timestamp, format: &str) -> String {
    at.to_zoned(simulation.zone.clone())
        .strftime(format)
        .to_string()
}
