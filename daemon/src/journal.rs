//! The journal: every transition, kept in SQLite next to what was last seen of each instance.
//!
//! One process writes it, in transactions that hold a transition and the sighting it leads to, so that a kill -9 at any moment
//! neither loses a transition that was reported nor reports one twice. Readers (`curfew history`) come and go beside it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use curfew_core::instance::InstanceId;
use curfew_core::transition::{Sighting, Transition};
use jiff::Timestamp;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, params};
use serde::Serialize;

/// The journal's file in the state directory.
pub const FILE: &str = "journal.sqlite";

/// Bring an older journal up to date, one after the other; `user_version` counts those done.
const MIGRATIONS: &[&str] = &["
    CREATE TABLE transitions (
        id         INTEGER PRIMARY KEY AUTOINCREMENT,
        instance   TEXT NOT NULL,
        name       TEXT,
        from_state TEXT NOT NULL,
        to_state   TEXT NOT NULL,
        at         TEXT NOT NULL,
        cause      TEXT NOT NULL,
        schedule   TEXT,
        region     TEXT NOT NULL,
        account    TEXT NOT NULL,
        edge       TEXT,
        UNIQUE (account, region, instance, at, from_state, to_state)
    ) STRICT;
    CREATE INDEX transitions_by_time ON transitions (at);
    CREATE TABLE sightings (
        instance TEXT PRIMARY KEY,
        sighting TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
"];

/// An open journal.
#[derive(Debug)]
pub struct Journal {
    connection: Connection,
    path: PathBuf,
}

/// A transition with its number in the journal.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Entry {
    /// Counts up from 1, in the order of recording.
    pub id: i64,
    /// What happened.
    #[serde(flatten)]
    pub transition: Transition,
}

/// What `history` shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// From this instant on.
    pub since: Option<Timestamp>,
    /// Only this instance.
    pub instance: Option<InstanceId>,
    /// At most so many, the newest ones.
    pub limit: Option<u32>,
}

/// One thing to write down.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// The instance.
    pub instance: InstanceId,
    /// What happened to it; a first sighting is no transition.
    pub transition: Option<Transition>,
    /// What is known of it now; nothing, if it is gone.
    pub sighting: Option<Sighting>,
}

/// A journal that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The directory can't be made.
    #[error("the state directory `{}` can't be made", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// There is no journal yet.
    #[error("there is no journal at `{}` yet: `curfew run` writes it", path.display())]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// It was written by a newer Curfew.
    #[error("the journal `{}` was written by a newer Curfew (format {found}, this one knows {known})", path.display())]
    TooNew {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest known.
        known: u32,
    },
    /// SQLite says no.
    #[error("the journal `{}` can't be {what}", path.display())]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// What was tried.
        what: &'static str,
        /// Why.
        source: rusqlite::Error,
    },
}

impl Journal {
    /// A reader may hold the file for a moment; longer, and something else is wrong.
    const BUSY: Duration = Duration::from_secs(5);

    /// Opens the journal in `directory` for writing, makes it if it is missing, and brings it up to date.
    pub fn open(directory: &Path) -> Result<Self, JournalError> {
        std::fs::create_dir_all(directory).map_err(|source| JournalError::Directory {
            path: directory.to_owned(),
            source,
        })?;
        let path = directory.join(FILE);
        let failed = |what| {
            let path = path.clone();
            move |source| JournalError::Sqlite { path, what, source }
        };
        let mut connection = Connection::open(&path).map_err(failed("opened"))?;
        connection
            .busy_timeout(Self::BUSY)
            .map_err(failed("opened"))?;
        // FULL: a transition that was logged is on disk, even after a power cut. A fleet makes a few a minute at most.
        connection
            .pragma_update(None, "journal_mode", "wal")
            .map_err(failed("opened"))?;
        connection
            .pragma_update(None, "synchronous", "full")
            .map_err(failed("opened"))?;
        let done: u32 = connection
            .pragma_query_value(None, "user_version", |row| row.get(0))
            .map_err(failed("read"))?;
        let newest = u32::try_from(MIGRATIONS.len()).expect("migrations are few");
        if done > newest {
            return Err(JournalError::TooNew {
                path,
                found: done,
                known: newest,
            });
        }
        for (number, migration) in (1..).zip(MIGRATIONS).skip(done as usize) {
            let step = connection
                .transaction()
                .map_err(failed("brought up to date"))?;
            step.execute_batch(migration)
                .map_err(failed("brought up to date"))?;
            step.pragma_update(None, "user_version", number)
                .map_err(failed("brought up to date"))?;
            step.commit().map_err(failed("brought up to date"))?;
        }
        Ok(Self { connection, path })
    }

    /// Opens the journal in `directory` for reading, beside whoever writes it.
    pub fn read(directory: &Path) -> Result<Self, JournalError> {
        let path = directory.join(FILE);
        if !path.exists() {
            return Err(JournalError::Missing { path });
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let failed = |source| JournalError::Sqlite {
            path: path.clone(),
            what: "opened",
            source,
        };
        let connection = Connection::open_with_flags(&path, flags).map_err(failed)?;
        connection.busy_timeout(Self::BUSY).map_err(failed)?;
        Ok(Self { connection, path })
    }

    /// Writes all of `records` or none, and returns the entries that are new.
    pub fn record(&mut self, records: &[Record]) -> Result<Vec<Entry>, JournalError> {
        let path = self.path.clone();
        let failed = |source| JournalError::Sqlite {
            path: path.clone(),
            what: "written",
            source,
        };
        let batch = self.connection.transaction().map_err(failed)?;
        let mut entries = Vec::new();
        for record in records {
            if let Some(transition) = &record.transition {
                let id = insert(&batch, transition).map_err(failed)?;
                entries.extend(id.map(|id| Entry {
                    id,
                    transition: transition.clone(),
                }));
            }
            let instance = record.instance.as_str();
            match &record.sighting {
                Some(sighting) => {
                    let json = serde_json::to_string(sighting).expect("a sighting is plain data");
                    batch
                        .execute(
                            "INSERT OR REPLACE INTO sightings (instance, sighting) VALUES (?1, ?2)",
                            [instance, &json],
                        )
                        .map_err(failed)?;
                }
                None => {
                    batch
                        .execute("DELETE FROM sightings WHERE instance = ?1", [instance])
                        .map_err(failed)?;
                }
            }
        }
        batch.commit().map_err(failed)?;
        Ok(entries)
    }

    /// What was last known of every instance.
    pub fn sightings(&self) -> Result<HashMap<InstanceId, Sighting>, JournalError> {
        let read = || -> rusqlite::Result<HashMap<InstanceId, Sighting>> {
            let mut query = self
                .connection
                .prepare("SELECT instance, sighting FROM sightings")?;
            let rows = query.query_map([], |row| {
                Ok((parsed::<InstanceId>(row, 0)?, json::<Sighting>(row, 1)?))
            })?;
            rows.collect()
        };
        read().map_err(|source| JournalError::Sqlite {
            path: self.path.clone(),
            what: "read",
            source,
        })
    }

    /// The newest transitions that `filter` lets through, oldest first.
    pub fn history(&self, filter: &Filter) -> Result<Vec<Entry>, JournalError> {
        let read = || -> rusqlite::Result<Vec<Entry>> {
            let mut query = self.connection.prepare(
                "SELECT id, instance, name, from_state, to_state, at, cause, schedule, region, account, edge FROM transitions
                 WHERE (?1 IS NULL OR at >= ?1) AND (?2 IS NULL OR instance = ?2)
                 ORDER BY at DESC, id DESC LIMIT ?3",
            )?;
            let since = filter.since.map(stored);
            let instance = filter.instance.as_ref().map(InstanceId::as_str);
            let limit = filter.limit.map_or(-1, i64::from);
            let mut entries = query
                .query_map(params![since, instance, limit], entry)?
                .collect::<Result<Vec<_>, _>>()?;
            entries.reverse();
            Ok(entries)
        };
        read().map_err(|source| JournalError::Sqlite {
            path: self.path.clone(),
            what: "read",
            source,
        })
    }
}

fn insert(batch: &Connection, transition: &Transition) -> rusqlite::Result<Option<i64>> {
    batch
        .query_row(
            "INSERT INTO transitions (instance, name, from_state, to_state, at, cause, schedule, region, account, edge)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) ON CONFLICT DO NOTHING RETURNING id",
            params![
                transition.instance.as_str(),
                transition.name,
                transition.from.as_str(),
                transition.to.as_str(),
                stored(transition.at),
                transition.cause.to_string(),
                transition.schedule.as_ref().map(ToString::to_string),
                transition.region.as_str(),
                transition.account.as_str(),
                transition.edge.map(stored),
            ],
            |row| row.get(0),
        )
        .optional()
}

/// Always with nine decimals, so that the texts sort as the instants do.
fn stored(at: Timestamp) -> String {
    format!("{at:.9}")
}

fn entry(row: &Row<'_>) -> rusqlite::Result<Entry> {
    let text = |column: usize| row.get::<_, String>(column);
    let schedule: Option<String> = row.get(7)?;
    let edge: Option<String> = row.get(10)?;
    let transition = Transition {
        instance: parsed(row, 1)?,
        name: row.get(2)?,
        from: parsed(row, 3)?,
        to: parsed(row, 4)?,
        at: parsed(row, 5)?,
        cause: parsed(row, 6)?,
        schedule: schedule.map(|_| parsed(row, 7)).transpose()?,
        region: curfew_core::instance::Region::new(text(8)?),
        account: curfew_core::instance::AccountId::new(text(9)?),
        edge: edge.map(|_| parsed(row, 10)).transpose()?,
    };
    Ok(Entry {
        id: row.get(0)?,
        transition,
    })
}

fn parsed<T>(row: &Row<'_>, column: usize) -> rusqlite::Result<T>
where
    T: std::str::FromStr,
    T::Err: std::error::Error + Send + Sync + 'static,
{
    row.get::<_, String>(column)?.parse().map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(
            column,
            rusqlite::types::Type::Text,
            Box::new(error),
        )
    })
}

fn json<T: serde::de::DeserializeOwned>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    serde_json::from_str(&row.get::<_, String>(column)?).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(
            column,
            rusqlite::types::Type::Text,
            Box::new(error),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use curfew_core::instance::{AccountId, InstanceState, Region};

    fn transition(at: &str) -> Transition {
        Transition {
            instance: "i-0abc1234def567890".parse().unwrap(),
            name: Some("web".into()),
            from: InstanceState::Running,
            to: InstanceState::Stopped,
            at: at.parse().unwrap(),
            cause: "schedule office".parse().unwrap(),
            schedule: Some("office".parse().unwrap()),
            region: Region::new("eu-west-3"),
            account: AccountId::new("123456789012"),
            edge: Some("2026-11-23T19:00:00Z".parse().unwrap()),
        }
    }

    fn record(at: &str) -> Record {
        let sighting = {
            let Transition {
                name,
                region,
                account,
                ..
            } = transition(at);
            let state = InstanceState::Stopped;
            Sighting {
                state,
                name,
                region,
                account,
                last: None,
                launched_at: None,
                cause: None,
            }
        };
        let transition = transition(at);
        Record {
            instance: transition.instance.clone(),
            transition: Some(transition),
            sighting: Some(sighting),
        }
    }

    #[test]
    fn what_is_recorded_is_there_after_reopening() {
        let directory = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(directory.path()).unwrap();
        let entries = journal.record(&[record("2026-11-23T19:00:01Z")]).unwrap();
        drop(journal);
        let journal = Journal::open(directory.path()).unwrap();
        assert_eq!(journal.history(&Filter::default()).unwrap(), entries);
        assert_eq!(journal.sightings().unwrap().len(), 1);
    }

    #[test]
    fn the_same_transition_is_kept_once() {
        let directory = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(directory.path()).unwrap();
        assert_eq!(
            journal
                .record(&[record("2026-11-23T19:00:01Z")])
                .unwrap()
                .len(),
            1
        );
        assert_eq!(
            journal.record(&[record("2026-11-23T19:00:01Z")]).unwrap(),
            []
        );
        assert_eq!(journal.history(&Filter::default()).unwrap().len(), 1);
    }

    #[test]
    fn a_full_disk_refuses_all_records_or_none_and_takes_them_when_there_is_room() {
        let directory = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(directory.path()).unwrap();
        let limit = |journal: &Journal, pages: u32| {
            let pragma = ("max_page_count", pages);
            journal
                .connection
                .pragma_update(None, pragma.0, pragma.1)
                .unwrap();
        };
        // No smaller than it is: as if the disk had no room for another page.
        limit(&journal, 1);
        let records: Vec<Record> = (0..100)
            .map(|n| record(&format!("2026-11-23T19:{:02}:{:02}Z", n / 60, n % 60)))
            .collect();
        let error = journal.record(&records).unwrap_err();
        assert!(error.to_string().ends_with("can't be written"), "{error}");
        assert_eq!(journal.history(&Filter::default()).unwrap(), []);

        limit(&journal, 1_000_000);
        assert_eq!(journal.record(&records).unwrap().len(), 100);
    }

    #[test]
    fn history_is_the_newest_in_order() {
        let directory = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(directory.path()).unwrap();
        // With and without a fraction: as plain text, `…:01Z` would sort after `…:01.5Z`.
        let times = [
            "2026-11-23T19:00:01Z",
            "2026-11-23T19:00:01.5Z",
            "2026-11-23T19:00:02Z",
        ];
        for at in [times[2], times[0], times[1]] {
            journal.record(&[record(at)]).unwrap();
        }
        let at = |entries: Vec<Entry>| {
            entries
                .iter()
                .map(|entry| entry.transition.at.to_string())
                .collect::<Vec<_>>()
        };
        assert_eq!(at(journal.history(&Filter::default()).unwrap()), times);
        assert_eq!(
            at(journal
                .history(&Filter {
                    limit: Some(2),
                    ..Filter::default()
                })
                .unwrap()),
            times[1..]
        );
        let since = Some("2026-11-23T19:00:01.2Z".parse().unwrap());
        assert_eq!(
            at(journal
                .history(&Filter {
                    since,
                    ..Filter::default()
                })
                .unwrap()),
            times[1..]
        );
    }

    #[test]
    fn a_reader_needs_a_journal_and_can_read_beside_the_writer() {
        let directory = tempfile::tempdir().unwrap();
        assert!(matches!(
            Journal::read(directory.path()),
            Err(JournalError::Missing { .. })
        ));
        let mut writer = Journal::open(directory.path()).unwrap();
        let reader = Journal::read(directory.path()).unwrap();
        writer.record(&[record("2026-11-23T19:00:01Z")]).unwrap();
        assert_eq!(reader.history(&Filter::default()).unwrap().len(), 1);
    }

    #[test]
    fn a_newer_journal_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let journal = Journal::open(directory.path()).unwrap();
        journal
            .connection
            .pragma_update(None, "user_version", 99)
            .unwrap();
        drop(journal);
        assert!(matches!(
            Journal::open(directory.path()),
            Err(JournalError::TooNew { found: 99, .. })
        ));
    }
}
