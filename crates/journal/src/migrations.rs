//! The journal's tables, and the migrations from older formats.

use rusqlite::Connection;

/// The migrations, each to the next format; `user_version` counts those done.
pub(super) const MIGRATIONS: &[&str] = &[
    "
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
",
    // The source of each transition, the initial state of each instance, and the times of observation. An older journal has
    // no observation times; the initial state of an instance without transitions is its last known state, as of the
    // migration.
    "
    ALTER TABLE transitions ADD COLUMN evidence TEXT NOT NULL DEFAULT 'look';
    ALTER TABLE transitions ADD COLUMN by_whom TEXT;
    ALTER TABLE transitions ADD COLUMN instance_type TEXT;
    ALTER TABLE transitions ADD COLUMN event TEXT;
    CREATE UNIQUE INDEX transitions_by_event ON transitions (event) WHERE event IS NOT NULL;
    CREATE INDEX transitions_by_instance ON transitions (instance, at);
    CREATE TABLE beginnings (
        instance      TEXT PRIMARY KEY,
        name          TEXT,
        state         TEXT NOT NULL,
        at            TEXT NOT NULL,
        schedule      TEXT,
        instance_type TEXT,
        region        TEXT NOT NULL,
        account       TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
    INSERT OR IGNORE INTO beginnings
        SELECT instance, name, from_state, at, schedule, NULL, region, account FROM transitions ORDER BY at, id;
    INSERT OR IGNORE INTO beginnings
        SELECT instance, sighting ->> '$.name', sighting ->> '$.state', strftime('%Y-%m-%dT%H:%M:%S.000000000Z', 'now'), NULL, NULL,
               sighting ->> '$.region', sighting ->> '$.account'
        FROM sightings WHERE json_valid(sighting);
    CREATE TABLE watched (
        account TEXT NOT NULL,
        region  TEXT NOT NULL,
        begun   TEXT NOT NULL,
        ended   TEXT NOT NULL,
        PRIMARY KEY (account, region, begun)
    ) STRICT, WITHOUT ROWID;
",
    // The outcomes of edges that the cloud was to apply. An older journal has none.
    "
    CREATE TABLE edges (
        id       INTEGER PRIMARY KEY AUTOINCREMENT,
        edge     TEXT NOT NULL,
        instance TEXT NOT NULL,
        name     TEXT,
        action   TEXT NOT NULL CHECK (action IN ('start', 'stop')),
        cause    TEXT NOT NULL,
        schedule TEXT,
        outcome  TEXT NOT NULL,
        at       TEXT NOT NULL,
        region   TEXT NOT NULL,
        account  TEXT NOT NULL,
        UNIQUE (edge, account, region, instance, action)
    ) STRICT;
",
    // The texts for causes and sources follow the design's terms.
    "
    ALTER TABLE transitions RENAME COLUMN evidence TO source;
    ALTER TABLE transitions RENAME COLUMN by_whom TO actor;
    UPDATE transitions SET source = 'poll' WHERE source = 'look';
    UPDATE transitions SET source = 'inferred' WHERE source = 'inference';
    UPDATE transitions SET cause = 'external' WHERE cause = 'outside';
    UPDATE edges SET cause = 'external' WHERE cause = 'outside';
    UPDATE sightings SET sighting = json_set(sighting, '$.cause', 'external')
        WHERE json_valid(sighting) AND sighting ->> '$.cause' = 'outside';
",
];

/// Returns the newest format.
pub(super) fn newest() -> u32 {
    u32::try_from(MIGRATIONS.len()).expect("migrations are few")
}

/// Migrates the journal from format `done` to the newest, in one transaction: nothing reads a format in between.
pub(super) fn migrate(connection: &mut Connection, done: u32) -> rusqlite::Result<()> {
    let pending = &MIGRATIONS[done as usize..];
    if pending.is_empty() {
        return Ok(());
    }
    let transaction = connection.transaction()?;
    for migration in pending {
        transaction.execute_batch(migration)?;
    }
    transaction.pragma_update(None, "user_version", newest())?;
    transaction.commit()
}
