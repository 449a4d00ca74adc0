//! Opening, and the steps from each version of the layout to the next.

use rusqlite::Connection;
use std::path::Path;

/// 1 MiB of pages in memory: the whole console has 30.
const CACHE_KIB: i64 = 1024;
/// A write-ahead log that grew past this is cut back at the next checkpoint.
const WAL_BYTES: i64 = 4 << 20;

/// Each step is run once, in its own transaction; never changed after it was released.
const STEPS: [&str; 1] = ["
CREATE TABLE facts (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
-- Everything that the broker's journal told, once.
CREATE TABLE journal (
    key TEXT PRIMARY KEY,
    at_ms INTEGER NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    doc TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX journal_by_time ON journal (kind, at_ms);
CREATE TABLE alerts (
    id INTEGER PRIMARY KEY,
    state TEXT NOT NULL,
    opened_ms INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL,
    doc TEXT NOT NULL
);
CREATE INDEX alerts_by_state ON alerts (state, updated_ms);
CREATE TABLE silences (root TEXT PRIMARY KEY, until_ms INTEGER NOT NULL, who TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE deliveries (
    key TEXT PRIMARY KEY,
    route TEXT NOT NULL,
    body TEXT NOT NULL,
    tries INTEGER NOT NULL DEFAULT 0,
    next_ms INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE metrics (
    series TEXT NOT NULL,
    span_s INTEGER NOT NULL,
    at_s INTEGER NOT NULL,
    count INTEGER NOT NULL,
    sum REAL NOT NULL,
    low REAL NOT NULL,
    high REAL NOT NULL,
    PRIMARY KEY (series, span_s, at_s)
) WITHOUT ROWID;
CREATE INDEX metrics_by_time ON metrics (span_s, at_s);
CREATE TABLE sessions (
    hash TEXT PRIMARY KEY, csrf TEXT NOT NULL, who TEXT NOT NULL, until_ms INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE tokens (
    name TEXT PRIMARY KEY, hash TEXT NOT NULL UNIQUE, created_ms INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE audit (
    id INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, who TEXT NOT NULL, act TEXT NOT NULL,
    target TEXT NOT NULL, accepted INTEGER NOT NULL, text TEXT NOT NULL
);
"];

/// Opens, checks, and brings the layout up to date.
pub(super) fn open(path: Option<&Path>) -> rusqlite::Result<Connection> {
    let mut connection = match path {
        Some(path) => Connection::open(path)?,
        None => Connection::open_in_memory()?,
    };
    connection.pragma_update(None, "auto_vacuum", "incremental")?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    // A power loss may take the last moments, never the file: the journal is read again.
    connection.pragma_update(None, "synchronous", "normal")?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    connection.pragma_update(None, "journal_size_limit", WAL_BYTES)?;
    connection.pragma_update(None, "temp_store", "memory")?;
    let checked: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if checked != "ok" {
        let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
        return Err(rusqlite::Error::SqliteFailure(code, Some(checked)));
    }
    migrate(&mut connection)?;
    Ok(connection)
}

fn migrate(connection: &mut Connection) -> rusqlite::Result<()> {
    let version: usize = connection
        .query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0))?
        .try_into()
        .unwrap_or(0);
    for (at, step) in STEPS.iter().enumerate().skip(version) {
        let transaction = connection.transaction()?;
        transaction.execute_batch(step)?;
        transaction.pragma_update(
            None,
            "user_version",
            i64::try_from(at + 1).unwrap_or(i64::MAX),
        )?;
        transaction.commit()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_file_gets_the_newest_layout_and_an_old_one_the_steps_it_lacks() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.db");
        for _ in 0..2 {
            let connection = open(Some(&path)).unwrap();
            let version: i64 = connection
                .query_row("PRAGMA user_version", [], |row| row.get(0))
                .unwrap();
            assert_eq!(usize::try_from(version).unwrap(), STEPS.len());
        }
    }
}
