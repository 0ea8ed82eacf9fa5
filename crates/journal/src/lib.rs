//! The journal: every transition, and the outcome of every edge, stored in SQLite with the last known state of each instance.
//!
//! One process writes it, in transactions that contain a transition and the resulting state, so that a kill -9 at any moment
//! neither loses a transition that was reported nor reports one twice. Readers (`curfew history`) may open it at the same
//! time.

mod buffered;
mod coverage;
mod edges;
mod error;
mod history;
mod migrations;
mod quarantine;
mod retention;
pub mod savings;

use std::collections::{HashMap, HashSet};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use curfew_core::instance::{AccountId, InstanceId, InstanceState, Region};
use curfew_core::schedule::ScheduleName;
use curfew_core::transition::{KnownState, Transition};
use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, params};

pub use edges::{EdgeEntry, EdgeOutcome, EdgeRecord, UnknownOutcome};
pub use error::JournalError;
pub use history::{HistoryFilter, JournalEntry};

pub use buffered::{BufferedJournal, JournalReplacement, LOCK, WriteReport};
pub use coverage::{CoverageInterval, CoverageObservation};

/// The journal's file in the state directory.
pub const FILE: &str = "journal.sqlite";

/// An open journal.
#[derive(Debug)]
pub struct Journal {
    connection: Connection,
    path: PathBuf,
    /// The device and inode of the file that was opened; `None` if they could not be read.
    file: Option<(u64, u64)>,
}

/// A change of an instance's known state, to be written in one transaction.
#[derive(Clone, Debug, PartialEq)]
pub struct TransitionRecord {
    /// The instance ID.
    pub instance: InstanceId,
    /// The transition; `None` for the first observation of an instance.
    pub transition: Option<Transition>,
    /// The id of the event that reported it, if one did.
    pub event: Option<String>,
    /// The resulting known state; `None` if the instance is gone.
    pub known_state: Option<KnownState>,
}

/// The principal of a call that changed an instance, from CloudTrail, which delivers it minutes after the transition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribution {
    /// The instance ID.
    pub instance: InstanceId,
    /// The states that such a call leads to.
    pub to: &'static [InstanceState],
    /// When the call was made.
    pub at: Timestamp,
    /// The principal: an ARN, or an AWS service.
    pub by: String,
}

/// The state of an instance when its record began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InitialState {
    /// The instance ID.
    pub instance: InstanceId,
    /// The instance's name at that time.
    pub name: Option<String>,
    /// The state of the instance.
    pub state: InstanceState,
    /// The time at which the record begins.
    pub at: Timestamp,
    /// The schedule that managed it.
    pub schedule: Option<ScheduleName>,
    /// The instance's type, such as `t3.micro`, if known.
    pub instance_type: Option<String>,
    /// The region of the instance.
    pub region: Region,
    /// The account of the instance.
    pub account: AccountId,
}

impl Journal {
    /// How long to wait for a reader that holds the file; longer waits have another cause.
    const BUSY: Duration = Duration::from_secs(5);

    /// Opens the journal in `directory` for writing, creates it if it is missing, and migrates it to the newest format. A
    /// process that may share the directory with another opens a [`BufferedJournal`] instead.
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
        // FULL: a transition that was logged is on disk, even after a power failure. A fleet makes a few a minute at most.
        connection
            .pragma_update(None, "journal_mode", "wal")
            .map_err(failed("opened"))?;
        connection
            .pragma_update(None, "synchronous", "full")
            .map_err(failed("opened"))?;
        let done: u32 = connection
            .pragma_query_value(None, "user_version", |row| row.get(0))
            .map_err(failed("read"))?;
        let known = migrations::newest();
        if done > known {
            return Err(JournalError::TooNew {
                path,
                found: done,
                known,
            });
        }
        migrations::migrate(&mut connection, done).map_err(failed("brought up to date"))?;
        let file = device_and_inode(&path);
        Ok(Self {
            connection,
            path,
            file,
        })
    }

    /// Whether the file that was opened is no longer at its path: it was removed, moved or replaced. SQLite continues to
    /// write to it, where no reader finds the data.
    pub fn is_detached(&self) -> bool {
        self.file.is_some() && self.file != device_and_inode(&self.path)
    }

    /// Opens the journal in `directory` for reading, while another process may write it.
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
        let journal = Self {
            connection,
            file: None,
            path,
        };
        let found: u32 = journal
            .connection
            .pragma_query_value(None, "user_version", |row| row.get(0))
            .map_err(|source| journal.failed("read", source))?;
        match migrations::newest() {
            // The file has no tables yet: its writer is creating them.
            _ if found == 0 => Err(JournalError::Missing { path: journal.path }),
            known if found > known => Err(JournalError::TooNew {
                path: journal.path,
                found,
                known,
            }),
            known if found < known => Err(JournalError::TooOld {
                path: journal.path,
                found,
                known,
            }),
            _ => Ok(journal),
        }
    }

    /// Writes all of `records` or none, and returns the new entries.
    pub fn record(
        &mut self,
        records: &[TransitionRecord],
    ) -> Result<Vec<JournalEntry>, JournalError> {
        self.write("written", |batch| {
            let mut entries = Vec::new();
            for record in records {
                if let Some(transition) = &record.transition {
                    let number = insert(batch, transition, record.event.as_deref())?;
                    entries.extend(number.map(|number| JournalEntry {
                        number,
                        transition: transition.clone(),
                    }));
                }
                remember(batch, record)?;
            }
            Ok(entries)
        })
    }

    /// Applies all changes of `changing` in one transaction.
    fn write<T>(
        &mut self,
        what: &'static str,
        changing: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, JournalError> {
        let write = || -> rusqlite::Result<T> {
            let batch = self.connection.transaction()?;
            let changed = changing(&batch)?;
            batch.commit()?;
            Ok(changed)
        };
        let written = write();
        written.map_err(|source| self.failed(what, source))
    }

    /// Adds principals to matching transitions that have none.
    pub fn attribute(&mut self, attributions: &[Attribution]) -> Result<(), JournalError> {
        /// EC2 responds to a call at once, and its transition begins within seconds.
        const WITHIN: SignedDuration = SignedDuration::from_mins(1);
        /// Events have a resolution of one second.
        const ROUNDING: SignedDuration = SignedDuration::from_secs(1);
        const NAME: &str = "
            UPDATE transitions SET actor = ?5
            WHERE instance = ?1 AND to_state = ?2 AND at BETWEEN ?3 AND ?4 AND cause = 'external'";
        self.write("written", |batch| {
            for attribute in attributions {
                for to in attribute.to {
                    let from = attribute.at.checked_sub(ROUNDING).unwrap_or(attribute.at);
                    let until = attribute.at.checked_add(WITHIN).unwrap_or(attribute.at);
                    let values = params![
                        attribute.instance.as_str(),
                        to.as_str(),
                        to_column(from),
                        to_column(until),
                        attribute.by
                    ];
                    batch.execute(NAME, values)?;
                }
            }
            Ok(())
        })
    }

    /// Returns those of `events` that the journal has already.
    pub fn events(&self, events: &[String]) -> Result<HashSet<String>, JournalError> {
        let list = serde_json::to_string(events).expect("texts are plain data");
        let read = || -> rusqlite::Result<HashSet<String>> {
            let mut query = self.connection.prepare_cached(
                "SELECT event FROM transitions WHERE event IN (SELECT value FROM json_each(?1))",
            )?;
            let rows = query.query_map([list], |row| row.get(0))?;
            rows.collect()
        };
        read().map_err(|source| self.failed("read", source))
    }

    /// Whether the journal has a transition since `since` that an event reported.
    pub fn has_events_since(&self, since: Timestamp) -> Result<bool, JournalError> {
        self.connection
            .query_row(
                "SELECT EXISTS (SELECT 1 FROM transitions WHERE at >= ?1 AND event IS NOT NULL)",
                [to_column(since)],
                |row| row.get(0),
            )
            .map_err(|source| self.failed("read", source))
    }

    /// Returns the last known state of every instance. A row that can't be read is skipped: its instance is observed for the
    /// first time then.
    pub fn known_states(&self) -> Result<HashMap<InstanceId, KnownState>, JournalError> {
        let read = || -> rusqlite::Result<HashMap<InstanceId, KnownState>> {
            let mut query = self
                .connection
                .prepare("SELECT instance, sighting FROM sightings")?;
            let rows = query.query_map([], |row| {
                Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))
            })?;
            let understood = |(id, known_state): (String, String)| {
                Some((id.parse().ok()?, serde_json::from_str(&known_state).ok()?))
            };
            rows.map(|row| row.map(understood))
                .filter_map(Result::transpose)
                .collect()
        };
        read().map_err(|source| self.failed("read", source))
    }

    /// Returns the state of each instance when its record began.
    pub fn initial_states(&self) -> Result<Vec<InitialState>, JournalError> {
        let read = || -> rusqlite::Result<Vec<InitialState>> {
            let mut query = self.connection.prepare(
                "SELECT instance, name, state, at, schedule, instance_type, region, account FROM beginnings ORDER BY instance",
            )?;
            let rows = query.query_map([], beginning)?;
            rows.collect()
        };
        read().map_err(|source| self.failed("read", source))
    }

    fn failed(&self, what: &'static str, source: rusqlite::Error) -> JournalError {
        JournalError::Sqlite {
            path: self.path.clone(),
            what,
            source,
        }
    }
}

fn device_and_inode(path: &Path) -> Option<(u64, u64)> {
    let file = std::fs::metadata(path).ok()?;
    Some((file.dev(), file.ino()))
}

fn insert(
    batch: &Connection,
    transition: &Transition,
    event: Option<&str>,
) -> rusqlite::Result<Option<i64>> {
    batch
        .prepare_cached(
            "INSERT INTO transitions (instance, name, from_state, to_state, at, cause, schedule, region, account, edge, source,
                                      actor, instance_type, event)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14) ON CONFLICT DO NOTHING RETURNING id",
        )?
        .query_row(
            params![
                transition.instance.as_str(),
                transition.name,
                transition.from.as_str(),
                transition.to.as_str(),
                to_column(transition.at),
                transition.cause.to_string(),
                transition.schedule.as_ref().map(ToString::to_string),
                transition.region.as_str(),
                transition.account.as_str(),
                transition.edge.map(to_column),
                transition.source.as_str(),
                transition.actor,
                transition.instance_type,
                event,
            ],
            |row| row.get(0),
        )
        .optional()
}

/// Stores the known state of the record's instance, and the initial state if its record begins.
fn remember(batch: &Connection, record: &TransitionRecord) -> rusqlite::Result<()> {
    let instance = record.instance.as_str();
    let Some(known_state) = &record.known_state else {
        batch
            .prepare_cached("DELETE FROM sightings WHERE instance = ?1")?
            .execute([instance])?;
        return Ok(());
    };
    let json = serde_json::to_string(known_state).expect("a known state is plain data");
    batch
        .prepare_cached("INSERT OR REPLACE INTO sightings (instance, sighting) VALUES (?1, ?2)")?
        .execute([instance, &json])?;
    if let (None, Some(since)) = (&record.transition, known_state.since) {
        let values = params![
            instance,
            known_state.name,
            known_state.state.as_str(),
            to_column(since),
            known_state.schedule.as_ref().map(ToString::to_string),
            known_state.instance_type,
            known_state.region.as_str(),
            known_state.account.as_str(),
        ];
        batch
            .prepare_cached(
                "INSERT OR IGNORE INTO beginnings (instance, name, state, at, schedule, instance_type, region, account)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            )?
            .execute(values)?;
    }
    Ok(())
}

fn beginning(row: &Row<'_>) -> rusqlite::Result<InitialState> {
    let schedule: Option<String> = row.get(4)?;
    Ok(InitialState {
        instance: from_column(row, 0)?,
        name: row.get(1)?,
        state: from_column(row, 2)?,
        at: from_column(row, 3)?,
        schedule: schedule.map(|_| from_column(row, 4)).transpose()?,
        instance_type: row.get(5)?,
        region: Region::new(row.get::<_, String>(6)?),
        account: AccountId::new(row.get::<_, String>(7)?),
    })
}

/// Always with nine decimals, so that the texts sort as the instants do.
fn to_column(at: Timestamp) -> String {
    format!("{at:.9}")
}

fn from_column<T>(row: &Row<'_>, column: usize) -> rusqlite::Result<T>
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

#[cfg(test)]
mod tests;
