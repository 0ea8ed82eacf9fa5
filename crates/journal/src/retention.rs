//! Removal of old transitions, which keeps the state at the cutoff.

use jiff::Timestamp;
use rusqlite::Connection;

use super::{Journal, JournalError, to_column};

impl Journal {
    /// Removes what is older than `cutoff`, and returns the number of removed transitions. From then on, the record of each
    /// instance begins at the cutoff, with the state that it had.
    pub fn prune(&mut self, cutoff: Timestamp) -> Result<usize, JournalError> {
        self.write("pruned", |batch| prune(batch, &to_column(cutoff)))
    }
}

fn prune(batch: &Connection, cutoff: &str) -> rusqlite::Result<usize> {
    batch.execute(
        "INSERT OR REPLACE INTO beginnings (instance, name, state, at, schedule, instance_type, region, account)
         SELECT instance, name, to_state, at, schedule, instance_type, region, account
         FROM transitions WHERE at < ?1 ORDER BY at, id",
        [cutoff],
    )?;
    batch.execute(
        "DELETE FROM beginnings WHERE at < ?1 AND state = 'terminated'",
        [cutoff],
    )?;
    batch.execute("UPDATE beginnings SET at = ?1 WHERE at < ?1", [cutoff])?;
    batch.execute("DELETE FROM watched WHERE ended <= ?1", [cutoff])?;
    batch.execute("UPDATE watched SET begun = ?1 WHERE begun < ?1", [cutoff])?;
    batch.execute("DELETE FROM edges WHERE edge < ?1", [cutoff])?;
    batch.execute("DELETE FROM transitions WHERE at < ?1", [cutoff])
}
