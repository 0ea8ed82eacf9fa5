//! `curfew history --edges`: the outcome of each edge.

use curfew_config::Configuration;
use curfew_core::human_time;
use curfew_journal::{EdgeEntry, EdgeOutcome};
use jiff::Timestamp;

use super::EntryView;
use crate::table::{ATTENTION, Cell, Column};
use crate::time_arg;

pub(super) const VIEW: EntryView<EdgeEntry, 13> = EntryView {
    nothing: "no edges recorded; the daemon records them with `daemon.driver = \"cloud\"`",
    plural: "edges",
    table_columns: || {
        vec![
            Column::whole("edge"),
            Column::whole("instance"),
            Column::text("name"),
            Column::whole("action"),
            Column::optional("cause"),
            Column::whole("outcome"),
            Column::optional("latency"),
        ]
    },
    row,
    place: |entry| (&entry.record.region, &entry.record.account),
    columns: [
        "number",
        "at",
        "id",
        "kind",
        "name",
        "action",
        "cause",
        "schedule",
        "outcome",
        "observed_at",
        "latency_seconds",
        "region",
        "account",
    ],
    cells,
};

fn row(entry: &EdgeEntry, configuration: &Configuration, now: Timestamp) -> Vec<Cell> {
    let it = &entry.record;
    let zone = time_arg::zone(configuration, it.schedule.as_ref());
    let outcome = match it.outcome {
        EdgeOutcome::InTime => Cell::from("in time"),
        EdgeOutcome::Late => Cell::from("late").styled(ATTENTION),
        EdgeOutcome::Missed => Cell::from("missed, applied by the daemon").styled(ATTENTION),
        EdgeOutcome::NotApplied => Cell::from("not applied").styled(ATTENTION),
    };
    vec![
        human_time::instant(it.edge, &zone, now).into(),
        it.instance.to_string().into(),
        Cell::or_none(it.name.as_ref()),
        it.action.to_string().into(),
        it.cause.to_string().into(),
        outcome,
        format!("{:.1} s", entry.latency_seconds).into(),
    ]
}

fn cells(entry: &EdgeEntry) -> [String; 13] {
    let it = &entry.record;
    let text = |value: Option<String>| value.unwrap_or_default();
    [
        entry.number.to_string(),
        it.edge.to_string(),
        it.instance.to_string(),
        it.kind.to_string(),
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
