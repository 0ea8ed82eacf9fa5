//! Sentences that all renderings share.

use curfew_core::simulate::{ClockChange, SimulatedCost, SimulatedDay, Simulation, in_hours};
use jiff::civil::Time;
use jiff::{Timestamp, Zoned};

use super::SimulateDocument;
use crate::money;
use crate::output::{count, counted};

/// Summarises the running hours and the share saved.
pub(super) fn facts(simulation: &Simulation) -> String {
    let hours = format!(
        "runs {} of {}",
        money::hours(simulation.on_hours),
        money::hours(simulation.hours)
    );
    match simulation.off_share {
        Some(share) => format!("{hours}, {} off", money::percent(share)),
        None => format!(
            "{hours}, unmanaged for {}",
            money::hours(simulation.unmanaged_hours)
        ),
    }
}

/// The running hours; `-` if they depend on manual starts.
pub(super) fn on_hours(simulation: &Simulation) -> String {
    match simulation.note {
        None => money::hours(simulation.on_hours),
        Some(_) => "-".to_owned(),
    }
}

/// Converts the number of instances of a simulation.
pub(super) fn number(instances: u32) -> usize {
    usize::try_from(instances).unwrap_or(usize::MAX)
}

/// Names a number of instances and their type: `12 t3.micro`.
pub(super) fn instances(cost: &SimulatedCost) -> String {
    let instances = count(number(cost.count));
    match &cost.instance_type {
        Some(instance_type) => format!("{instances} {instance_type}"),
        None => instances,
    }
}

/// Formats an optional amount.
pub(super) fn amount(amount: Option<f64>) -> String {
    amount.map_or_else(|| "-".to_owned(), money::amount)
}

/// The span of all simulations, if it is the same for all of them in their own zones.
pub(super) fn common_span(document: &SimulateDocument) -> Option<String> {
    let mut spans = document.schedules.iter().map(span);
    let first = spans.next()?;
    spans.all(|other| other == first).then_some(first)
}

/// Formats the span: as dates if it consists of whole days, otherwise with times.
pub(super) fn span(simulation: &Simulation) -> String {
    const MOMENT: &str = "%a %-d %b %Y %H:%M %Z";
    let local = |at: Timestamp| at.to_zoned(simulation.zone.clone());
    let (from, to) = (local(simulation.from), local(simulation.to));
    let is_midnight = |at: &Zoned| at.time() == Time::midnight();
    if is_midnight(&from) && is_midnight(&to) {
        // The end is exclusive: its last day is the one before.
        let last = to.date().yesterday().unwrap_or_else(|_| to.date());
        if from.date() == last {
            return last.strftime("%a %-d %b %Y").to_string();
        }
        return format!(
            "{} to {}",
            from.strftime("%a %-d %b"),
            last.strftime("%a %-d %b %Y")
        );
    }
    format!("{} to {}", from.strftime(MOMENT), to.strftime(MOMENT))
}

/// Describes a change of the clocks: `25 h: the clocks go back from 03:00 to 02:00`.
pub(super) fn clock_change(day: &SimulatedDay, change: ClockChange) -> String {
    let (before, after) = change.local();
    let direction = if after < before { "back" } else { "forward" };
    format!(
        "{}: the clocks go {direction} from {} to {}",
        money::hours(in_hours(day.length())),
        before.strftime("%H:%M"),
        after.strftime("%H:%M")
    )
}

/// Sentences about the cost: what was saved in total, which instances are left out, or how to get a cost.
pub(super) fn notes(document: &SimulateDocument) -> Vec<String> {
    let mut notes = Vec::new();
    match &document.total {
        Some(total) if total.unpriced_count > 0 => {
            let unpriced = count(number(total.unpriced_count));
            let of = count(number(total.count));
            notes.push(format!(
                "{unpriced} of {of} instances have no cost: their type has no price in [prices], or their running time is not known."
            ));
        }
        None if document.has_prices => notes.push(
            "No cost: the number of instances is not known; count them with --fleet, or give it with --count NAME=N."
                .to_owned(),
        ),
        Some(_) | None => {}
    }
    if document.inline_count > 0 {
        notes.push(format!(
            "{} with a schedule in their tag are not included.",
            counted(document.inline_count, "instance")
        ));
    }
    notes
}

/// Formats an instant in the zone of the schedule.
pub(super) fn local(simulation: &Simulation, at: Timestamp, format: &str) -> String {
    at.to_zoned(simulation.zone.clone())
        .strftime(format)
        .to_string()
}
