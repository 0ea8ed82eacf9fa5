//! Sentences that all renderings share.

use curfew_core::simulate::{SimulatedCost, Simulation, format_number};
use jiff::Timestamp;

/// Summarises the running hours and the share saved.
pub(super) fn facts(simulation: &Simulation) -> String {
    let hours = format!(
        "runs {} h of {} h",
        format_number(simulation.hours),
        format_number(simulation.hours_always)
    );
    match simulation.percent_off {
        Some(percent) => format!("{hours}, {}% off", format_number(percent)),
        None => format!(
            "{hours}, unmanaged for {} h",
            format_number(simulation.hours_unmanaged)
        ),
    }
}

/// Summarises the cost of the instances of one type.
pub(super) fn sentence(cost: &SimulatedCost) -> String {
    format!(
        "{} x {} at {} an hour: {:.2} instead of {:.2}, saves {:.2}",
        cost.count, cost.instance_type, cost.per_hour, cost.scheduled, cost.always, cost.saved
    )
}

/// Formats an instant in the zone of the schedule.
pub(super) fn local(simulation: &Simulation, at: Timestamp, format: &str) -> String {
    at.to_zoned(simulation.zone.clone())
        .strftime(format)
        .to_string()
}
