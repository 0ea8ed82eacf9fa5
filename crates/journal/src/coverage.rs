//! The times at which instances were observed: the journal has no information about other times.

use curfew_core::instance::{AccountId, Region};
use jiff::{SignedDuration, Timestamp};
use rusqlite::{OptionalExtension, Row, params};

use super::{Journal, JournalError, from_column, to_column};

/// A complete observation of one account and region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoverageObservation {
    /// The account of the observed instances.
    pub account: AccountId,
    /// The region of the observed instances.
    pub region: Region,
    /// The time of the observation.
    pub at: Timestamp,
    /// The longest time since the previous observation that this one covers too.
    pub bridges: SignedDuration,
}

/// A time without a gap in the coverage of an account and region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoverageInterval {
    /// The account of the observed instances.
    pub account: AccountId,
    /// The region of the observed instances.
    pub region: Region,
    /// The time of the first observation.
    pub begun: Timestamp,
    /// The time of the last observation.
    pub ended: Timestamp,
}

impl Journal {
    /// Records observations: each extends the last interval, or begins another one.
    pub fn record_coverage(
        &mut self,
        observations: &[CoverageObservation],
    ) -> Result<(), JournalError> {
        const LAST: &str = "
            SELECT begun, ended FROM watched
            WHERE account = ?1 AND region = ?2 ORDER BY begun DESC LIMIT 1";
        const EXTEND: &str = "
            UPDATE watched SET ended = max(ended, ?4)
            WHERE account = ?1 AND region = ?2 AND begun = ?3";
        const BEGIN: &str = "
            INSERT OR IGNORE INTO watched (account, region, begun, ended) VALUES (?1, ?2, ?3, ?3)";
        self.write("written", |batch| {
            for observation in observations {
                let place = [observation.account.as_str(), observation.region.as_str()];
                let last: Option<(String, String)> = batch
                    .query_row(LAST, place, |row| Ok((row.get(0)?, row.get(1)?)))
                    .optional()?;
                let begun = last
                    .filter(|(_, ended)| {
                        let ended = ended.parse::<Timestamp>();
                        ended.is_ok_and(|ended| {
                            observation.at.duration_since(ended) <= observation.bridges
                        })
                    })
                    .map(|(begun, _)| begun);
                let at = to_column(observation.at);
                match begun {
                    // A clock that was set back must not shorten an interval.
                    Some(begun) => batch.execute(EXTEND, params![place[0], place[1], begun, at]),
                    None => batch.execute(BEGIN, params![place[0], place[1], at]),
                }?;
            }
            Ok(())
        })
    }

    /// Returns every interval, in order.
    pub fn coverage_intervals(&self) -> Result<Vec<CoverageInterval>, JournalError> {
        let read = || -> rusqlite::Result<Vec<CoverageInterval>> {
            let mut query = self.connection.prepare(
                "SELECT account, region, begun, ended FROM watched ORDER BY account, region, begun",
            )?;
            let rows = query.query_map([], coverage_interval)?;
            rows.collect()
        };
        read().map_err(|source| self.failed("read", source))
    }
}

fn coverage_interval(row: &Row<'_>) -> rusqlite::Result<CoverageInterval> {
    Ok(CoverageInterval {
        account: AccountId::new(row.get::<_, String>(0)?),
        region: Region::new(row.get::<_, String>(1)?),
        begun: from_column(row, 2)?,
        ended: from_column(row, 3)?,
    })
}
