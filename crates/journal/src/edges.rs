//! The outcome of each edge that the cloud was to apply (`driver = "cloud"`): for which instance, how soon, and which process
//! applied it in the end.

use std::fmt;
use std::str::FromStr;

use curfew_core::instance::{AccountId, InstanceId, Region, ResourceKind};
use curfew_core::schedule::ScheduleName;
use curfew_core::state_tags::Cause;
use curfew_core::timetable::Action;
use jiff::Timestamp;
use rusqlite::{Connection, Row, params};
use serde::Serialize;

use super::{HistoryFilter, Journal, JournalError, from_column, to_column};

/// An edge of one instance, with its outcome.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct EdgeRecord {
    /// The instant of the edge.
    #[serde(rename = "at")]
    pub edge: Timestamp,
    /// The instance ID.
    #[serde(rename = "id")]
    pub instance: InstanceId,
    /// The kind of the resource.
    pub kind: ResourceKind,
    /// The instance's name at that time.
    pub name: Option<String>,
    /// What the edge does to the instance.
    pub action: Action,
    /// The cause of the edge: a schedule, or an override's end.
    pub cause: Cause,
    /// The schedule that manages the instance.
    pub schedule: Option<ScheduleName>,
    /// Whether it was applied, and by which process.
    pub outcome: EdgeOutcome,
    /// When the outcome was observed: an upper bound of the time at which it was applied.
    #[serde(rename = "observed_at")]
    pub at: Timestamp,
    /// The region of the instance.
    pub region: Region,
    /// The account of the instance.
    pub account: AccountId,
}

/// The outcome of an edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EdgeOutcome {
    /// The cloud applied it within the grace period.
    InTime,
    /// The cloud applied it, after the grace period.
    Late,
    /// The cloud did not apply it, and the daemon did.
    Missed,
    /// The daemon could not apply it either, so far.
    NotApplied,
}

/// The outcome of an edge, with its number in the journal.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
pub struct EdgeEntry {
    /// Counts up, with gaps, in the order of recording.
    pub number: i64,
    /// The edge with its outcome.
    #[serde(flatten)]
    pub record: EdgeRecord,
    /// The time from the edge to the observation of its outcome, in seconds: an upper bound.
    pub latency_seconds: f64,
}

/// An outcome that only a newer Curfew has.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not an outcome of an edge")]
pub struct UnknownOutcome(String);

impl EdgeOutcome {
    /// Returns the text for it in journals and documents.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InTime => "in_time",
            Self::Late => "late",
            Self::Missed => "missed",
            Self::NotApplied => "not_applied",
        }
    }
}

impl fmt::Display for EdgeOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for EdgeOutcome {
    type Err = UnknownOutcome;

    fn from_str(text: &str) -> Result<Self, UnknownOutcome> {
        [Self::InTime, Self::Late, Self::Missed, Self::NotApplied]
            .into_iter()
            .find(|outcome| outcome.as_str() == text)
            .ok_or_else(|| UnknownOutcome(text.to_owned()))
    }
}

impl Journal {
    /// Writes all of `edges` or none. The first outcome of an edge is kept, unless it is [`EdgeOutcome::NotApplied`], which a
    /// later one replaces.
    pub fn record_edges(&mut self, edges: &[EdgeRecord]) -> Result<(), JournalError> {
        self.write("written", |batch| {
            edges.iter().try_for_each(|edge| record_edge(batch, edge))
        })
    }

    /// Returns the newest edges that `filter` matches, oldest first. Its times are those of the edges.
    pub fn edges(&self, filter: &HistoryFilter) -> Result<Vec<EdgeEntry>, JournalError> {
        let columns =
            "id, edge, instance, name, action, cause, schedule, outcome, at, region, account";
        self.newest(filter, "edges", columns, "edge", entry)
    }
}

fn record_edge(batch: &Connection, record: &EdgeRecord) -> rusqlite::Result<()> {
    batch
        .prepare_cached(
            "INSERT INTO edges (edge, instance, name, action, cause, schedule, outcome, at, region, account)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
             ON CONFLICT DO UPDATE SET outcome = excluded.outcome, at = excluded.at WHERE outcome = 'not_applied'",
        )?
        .execute(params![
            to_column(record.edge),
            record.instance.as_str(),
            record.name,
            record.action.to_string(),
            record.cause.to_string(),
            record.schedule.as_ref().map(ToString::to_string),
            record.outcome.as_str(),
            to_column(record.at),
            record.region.as_str(),
            record.account.as_str(),
        ])?;
    Ok(())
}

fn entry(row: &Row<'_>) -> rusqlite::Result<EdgeEntry> {
    let schedule: Option<String> = row.get(6)?;
    let record = EdgeRecord {
        edge: from_column(row, 1)?,
        instance: from_column(row, 2)?,
        kind: ResourceKind::Instance,
        name: row.get(3)?,
        action: match row.get::<_, String>(4)?.as_str() {
            "start" => Action::Start,
            // The table's constraint allows no other value.
            _ => Action::Stop,
        },
        cause: from_column(row, 5)?,
        schedule: schedule.map(|_| from_column(row, 6)).transpose()?,
        outcome: from_column(row, 7)?,
        at: from_column(row, 8)?,
        region: Region::new(row.get::<_, String>(9)?),
        account: AccountId::new(row.get::<_, String>(10)?),
    };
    Ok(EdgeEntry {
        number: row.get(0)?,
        latency_seconds: record.at.duration_since(record.edge).as_secs_f64(),
        record,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(number: u8, edge: &str, outcome: EdgeOutcome, at: &str) -> EdgeRecord {
        let day = |time: &str| format!("2026-11-23T{time}Z").parse().unwrap();
        EdgeRecord {
            edge: day(edge),
            instance: format!("i-0000000000000000{number}").parse().unwrap(),
            kind: ResourceKind::Instance,
            name: Some(format!("web-{number}")),
            action: Action::Stop,
            cause: "schedule office".parse().unwrap(),
            schedule: Some("office".parse().unwrap()),
            outcome,
            at: day(at),
            region: Region::new("eu-west-3"),
            account: AccountId::new("123456789012"),
        }
    }

    #[test]
    fn the_outcome_of_an_edge_is_kept_once_unless_it_was_not_applied() {
        use EdgeOutcome::{InTime, Late, Missed, NotApplied};
        let directory = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(directory.path()).unwrap();
        let first = [
            record(1, "19:00:00", InTime, "19:00:05"),
            record(2, "19:00:00", NotApplied, "19:02:00"),
            record(3, "19:00:00", Missed, "19:02:01"),
        ];
        journal.record_edges(&first).unwrap();
        let later = [
            record(1, "19:00:00", Late, "19:07:00"),
            record(2, "19:00:00", NotApplied, "19:03:00"),
            record(2, "19:00:00", Late, "19:04:00.5"),
            record(2, "20:00:00", InTime, "20:00:01"),
        ];
        journal.record_edges(&later).unwrap();
        let entries = journal.edges(&HistoryFilter::default()).unwrap();
        let outcomes: Vec<_> = entries
            .iter()
            .map(|entry| (&entry.record, entry.latency_seconds))
            .collect();
        assert_eq!(
            outcomes,
            [
                (&first[0], 5.0),
                (&later[2], 240.5),
                (&first[2], 121.0),
                (&later[3], 1.0)
            ]
        );
    }

    #[test]
    fn edges_are_found_by_their_own_time_and_by_instance() {
        let directory = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(directory.path()).unwrap();
        let mut freed = record(2, "21:00:00", EdgeOutcome::InTime, "21:00:02");
        (freed.cause, freed.schedule) = ("override by alice".parse().unwrap(), None);
        let edges = [
            record(1, "19:00:00", EdgeOutcome::Late, "23:00:00"),
            record(2, "20:00:00", EdgeOutcome::InTime, "20:00:01"),
            freed,
        ];
        journal.record_edges(&edges).unwrap();
        let hours = |filter: HistoryFilter| -> Vec<i8> {
            let entries = journal.edges(&filter).unwrap();
            let utc = jiff::tz::TimeZone::UTC;
            let edges = entries.iter().map(|entry| entry.record.edge);
            edges
                .map(|edge| edge.to_zoned(utc.clone()).hour())
                .collect()
        };
        let all = HistoryFilter::default;
        let at = |text: &str| Some(text.parse().unwrap());
        let since = at("2026-11-23T20:00:00Z");
        assert_eq!(hours(HistoryFilter { since, ..all() }), [20, 21]);
        let until = at("2026-11-23T20:00:00Z");
        assert_eq!(hours(HistoryFilter { until, ..all() }), [19]);
        let schedule = Some("office".parse().unwrap());
        assert_eq!(hours(HistoryFilter { schedule, ..all() }), [19, 20]);
        let cause = Some("override".to_owned());
        assert_eq!(hours(HistoryFilter { cause, ..all() }), [21]);
        let instances = vec!["web-2".to_owned()];
        let limit = Some(1);
        let newest = HistoryFilter {
            instances,
            limit,
            ..all()
        };
        assert_eq!(hours(newest), [21]);
    }
}
