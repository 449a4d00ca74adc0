//! The broker's journal as it was told: incidents, alerts of healers, attacks; each once.

use super::{signed, unsigned};
use planaria_core::message::Incident;
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::{Deserialize, Serialize};

/// A row more than this pushes the oldest out, whatever the retention says.
const ROWS_MAX: u64 = 200_000;

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Unique: an incident's id, or the sender's boot and number.
    pub key: String,
    /// When it was told, in milliseconds since 1970 by the teller's clock.
    pub at_ms: u64,
    /// `incident`, `alert` or `attack`.
    pub kind: String,
    /// Whom it is about; empty where nobody in particular.
    pub name: String,
    /// The body as JSON.
    pub doc: String,
}

/// An incident with the time at which it was over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// When its story was told, in milliseconds since 1970.
    pub at_ms: u64,
    /// The story.
    #[serde(flatten)]
    pub incident: Incident,
}

/// The stream's offset after the last entry that was kept.
///
/// # Errors
/// SQLite's.
pub fn position(db: &Connection) -> rusqlite::Result<Option<u64>> {
    db.prepare_cached("SELECT value FROM facts WHERE name = 'journal_next'")?
        .query_row([], |row| row.get::<_, i64>(0))
        .optional()
        .map(|value| value.map(unsigned))
}

/// Sets it.
///
/// # Errors
/// SQLite's.
pub fn set_position(db: &Connection, next: u64) -> rusqlite::Result<()> {
    db.prepare_cached("INSERT OR REPLACE INTO facts VALUES ('journal_next', ?1)")?
        .execute([signed(next)])
        .map(drop)
}

/// Keeps entries and the position behind them, all or nothing. Returns those that were new.
///
/// # Errors
/// SQLite's.
pub fn keep(
    db: &mut Connection,
    entries: Vec<Entry>,
    next: Option<u64>,
) -> rusqlite::Result<Vec<Entry>> {
    let transaction = db.transaction()?;
    let mut fresh = Vec::new();
    {
        let mut insert = transaction
            .prepare_cached("INSERT OR IGNORE INTO journal VALUES (?1, ?2, ?3, ?4, ?5)")?;
        for entry in entries {
            let new = insert.execute(params![
                entry.key,
                signed(entry.at_ms),
                entry.kind,
                entry.name,
                entry.doc
            ])?;
            if new > 0 {
                fresh.push(entry);
            }
        }
    }
    if let Some(next) = next {
        set_position(&transaction, next)?;
    }
    transaction.commit()?;
    Ok(fresh)
}

fn entry(row: &Row<'_>) -> rusqlite::Result<Entry> {
    Ok(Entry {
        key: row.get(0)?,
        at_ms: unsigned(row.get(1)?),
        kind: row.get(2)?,
        name: row.get(3)?,
        doc: row.get(4)?,
    })
}

/// The newest entries of a kind that were told before a moment, newest first; of one name where one is given.
///
/// # Errors
/// SQLite's.
pub fn newest(
    db: &Connection,
    kind: &str,
    name: Option<&str>,
    before_ms: u64,
    limit: u64,
) -> rusqlite::Result<Vec<Entry>> {
    let mut select = db.prepare_cached(
        "SELECT key, at_ms, kind, name, doc FROM journal
         WHERE kind = ?1 AND at_ms < ?2 AND (?3 IS NULL OR name = ?3) ORDER BY at_ms DESC LIMIT ?4",
    )?;
    select
        .query_map(params![kind, signed(before_ms), name, signed(limit)], entry)?
        .collect()
}

/// One entry by its key.
///
/// # Errors
/// SQLite's.
pub fn one(db: &Connection, key: &str) -> rusqlite::Result<Option<Entry>> {
    db.prepare_cached("SELECT key, at_ms, kind, name, doc FROM journal WHERE key = ?1")?
        .query_row([key], entry)
        .optional()
}

/// How many of a kind are kept.
///
/// # Errors
/// SQLite's.
pub fn count(db: &Connection, kind: &str) -> rusqlite::Result<u64> {
    db.prepare_cached("SELECT count(*) FROM journal WHERE kind = ?1")?
        .query_row([kind], |row| row.get::<_, i64>(0))
        .map(unsigned)
}

/// An entry's incident, where it is one that can be read.
#[must_use]
pub fn incident(entry: &Entry) -> Option<Told> {
    let incident = serde_json::from_str(&entry.doc).ok()?;
    Some(Told {
        at_ms: entry.at_ms,
        incident,
    })
}

/// Forgets what is older, and the oldest of too many.
///
/// # Errors
/// SQLite's.
pub fn forget(db: &Connection, before_ms: u64) -> rusqlite::Result<usize> {
    let old = db.execute("DELETE FROM journal WHERE at_ms < ?1", [signed(before_ms)])?;
    let many = db.execute(
        "DELETE FROM journal WHERE key IN
         (SELECT key FROM journal ORDER BY at_ms DESC LIMIT -1 OFFSET ?1)",
        [signed(ROWS_MAX)],
    )?;
    Ok(old + many)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::schema;

    fn some(key: &str, at_ms: u64) -> Entry {
        Entry {
            key: key.to_owned(),
            at_ms,
            kind: "incident".to_owned(),
            name: "worker-1".to_owned(),
            doc: "{}".to_owned(),
        }
    }

    #[test]
    fn an_entry_is_kept_once_and_the_position_with_it() {
        let mut db = schema::open(None).unwrap();
        let fresh = keep(&mut db, vec![some("a", 1), some("b", 2)], Some(10)).unwrap();
        assert_eq!(fresh.len(), 2);
        let again = keep(&mut db, vec![some("b", 2), some("c", 3)], Some(11)).unwrap();
        assert_eq!(again, [some("c", 3)]);
        assert_eq!(position(&db).unwrap(), Some(11));
        let newest = newest(&db, "incident", Some("worker-1"), u64::MAX, 2).unwrap();
        assert_eq!(newest, [some("c", 3), some("b", 2)]);
        assert_eq!(one(&db, "a").unwrap(), Some(some("a", 1)));
    }

    #[test]
    fn what_is_old_is_forgotten() {
        let mut db = schema::open(None).unwrap();
        keep(&mut db, vec![some("a", 1), some("b", 200)], None).unwrap();
        assert_eq!(forget(&db, 100).unwrap(), 1);
        assert_eq!(count(&db, "incident").unwrap(), 1);
    }
}
