//! `curfew history --edges`: the outcome of each edge.

use curfew_journal::{EdgeEntry, EdgeOutcome};

use super::{EntryView, local};
use crate::output::or_dash;

pub(super) const VIEW: EntryView<EdgeEntry, 12> = EntryView {
    nothing: "no edges recorded; the daemon records them with `daemon.driver = \"cloud\"`",
    header: &[
        "edge", "instance", "name", "action", "cause", "outcome", "latency",
    ],
    row,
    place: |entry| (&entry.record.region, &entry.record.account),
    columns: [
        "id",
        "edge",
        "instance",
        "name",
        "action",
        "cause",
        "schedule",
        "outcome",
        "at",
        "latency_seconds",
        "region",
        "account",
    ],
    cells,
};

fn row(entry: &EdgeEntry) -> Vec<String> {
    let it = &entry.record;
    let outcome = match it.outcome {
        EdgeOutcome::InTime => "in time",
        EdgeOutcome::Late => "late",
        EdgeOutcome::Missed => "missed, applied by the daemon",
        EdgeOutcome::NotApplied => "not applied",
    };
    vec![
        local(it.edge),
        it.instance.to_string(),
        or_dash(it.name.as_ref()),
        it.action.to_string(),
        it.cause.to_string(),
        outcome.to_owned(),
        format!("{:.1} s", entry.latency_seconds),
    ]
}

fn cells(entry: &EdgeEntry) -> [String; 12] {
    let it = &entry.record;
    let text = |value: Option<String>| value.unwrap_or_default();
    [
        entry.id.to_string(),
        it.edge.to_string(),
        it.instance.to_string(),
        text(it.name.clone()),
        it.action.to_string(),
        it.cause.to_string(),
        text(it.schedule.as_ref().map(ToString::to_string)),
        it.outcome.to_string(),
        it.at.to_string(),
        entry.latency_seconds.to_string(),
        it.region.to_string(),
        it.account.to_string(),
    ]
}
