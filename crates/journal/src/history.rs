//! Queries of recorded transitions.

use curfew_core::instance::{AccountId, InstanceState, Region, ResourceKind};
use curfew_core::schedule::ScheduleName;
use curfew_core::transition::Transition;
use jiff::Timestamp;
use rusqlite::{Row, params_from_iter};
use serde::Serialize;

use super::{Journal, JournalError, from_column, to_column};

/// A transition with its number in the journal.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
pub struct JournalEntry {
    /// Counts up from 1, in the order of recording.
    pub number: i64,
    /// The recorded transition.
    #[serde(flatten)]
    pub transition: Transition,
}

/// The conditions of `curfew history`; a result matches all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HistoryFilter {
    /// From this instant on.
    pub since: Option<Timestamp>,
    /// Before this instant.
    pub until: Option<Timestamp>,
    /// Instances of one of these ids or names, if there is any.
    pub instances: Vec<String>,
    /// Only instances that this schedule managed at the time.
    pub schedule: Option<ScheduleName>,
    /// Only causes of this kind (`schedule`, `override`, `request`, `external`), or this exact cause (`override by alice`).
    pub cause: Option<String>,
    /// Only transitions to this state.
    pub to: Option<InstanceState>,
    /// The maximum number of results; the newest are kept.
    pub limit: Option<u32>,
}

impl HistoryFilter {
    /// Returns the condition in SQL, and the values of its parameters; `time` is the column for the times.
    fn condition(&self, time: &str) -> (String, Vec<String>) {
        let mut conditions = vec!["TRUE".to_owned()];
        let mut values = Vec::new();
        // `{}` stands for the value's parameter, which is numbered because it may occur twice.
        let mut require = |condition: &str, value: String| {
            values.push(value);
            conditions.push(condition.replace("{}", &format!("?{}", values.len())));
        };
        if let Some(since) = self.since {
            require(&format!("{time} >= {{}}"), to_column(since));
        }
        if let Some(until) = self.until {
            require(&format!("{time} < {{}}"), to_column(until));
        }
        if let Some(schedule) = &self.schedule {
            require("schedule = {}", schedule.to_string());
        }
        if let Some(to) = self.to {
            require("to_state = {}", to.as_str().to_owned());
        }
        match self.cause.as_deref() {
            Some(sort @ ("schedule" | "override" | "request")) => {
                require("substr(cause, 1, length({})) = {}", format!("{sort} "));
            }
            Some(cause) => require("cause = {}", cause.to_owned()),
            None => {}
        }
        if !self.instances.is_empty() {
            // A JSON list, so that any number of instances is one value.
            let list = serde_json::to_string(&self.instances).expect("texts are plain data");
            require(
                "(instance IN (SELECT value FROM json_each({})) OR name IN (SELECT value FROM json_each({})))",
                list,
            );
        }
        (conditions.join(" AND "), values)
    }
}

impl Journal {
    /// Returns the newest transitions that `filter` matches, oldest first.
    pub fn history(&self, filter: &HistoryFilter) -> Result<Vec<JournalEntry>, JournalError> {
        let columns = "id, instance, name, from_state, to_state, at, cause, schedule, region, account, edge, source, actor, instance_type";
        self.newest(filter, "transitions", columns, "at", entry)
    }

    /// Returns the newest rows of `table` that `filter` matches, oldest first; `time` is the column for the times.
    pub(super) fn newest<T>(
        &self,
        filter: &HistoryFilter,
        table: &str,
        columns: &str,
        time: &str,
        entry: fn(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, JournalError> {
        let (condition, values) = filter.condition(time);
        let limit = filter.limit.map_or(-1, i64::from);
        let read = || -> rusqlite::Result<Vec<T>> {
            let mut query = self.connection.prepare(&format!(
                "SELECT {columns} FROM {table} WHERE {condition} ORDER BY {time} DESC, id DESC LIMIT {limit}",
            ))?;
            let mut entries = query
                .query_map(params_from_iter(values), entry)?
                .collect::<Result<Vec<_>, _>>()?;
            entries.reverse();
            Ok(entries)
        };
        read().map_err(|source| self.failed("read", source))
    }
}

fn entry(row: &Row<'_>) -> rusqlite::Result<JournalEntry> {
    let text = |column: usize| row.get::<_, String>(column);
    let schedule: Option<String> = row.get(7)?;
    let edge: Option<String> = row.get(10)?;
    let transition = Transition {
        instance: from_column(row, 1)?,
        kind: ResourceKind::Instance,
        name: row.get(2)?,
        from: from_column(row, 3)?,
        to: from_column(row, 4)?,
        at: from_column(row, 5)?,
        cause: from_column(row, 6)?,
        schedule: schedule.map(|_| from_column(row, 7)).transpose()?,
        region: Region::new(text(8)?),
        account: AccountId::new(text(9)?),
        edge: edge.map(|_| from_column(row, 10)).transpose()?,
        source: from_column(row, 11)?,
        actor: row.get(12)?,
        instance_type: row.get(13)?,
    };
    Ok(JournalEntry {
        number: row.get(0)?,
        transition,
    })
}
