//! Alerts, silences, and what is still to be sent about them.

use super::{signed, unsigned};
use crate::alerts::Record;
use rusqlite::{Connection, params};
use std::collections::BTreeMap;

/// Writes an alert as it stands now.
///
/// # Errors
/// SQLite's.
pub fn put(db: &Connection, record: &Record) -> rusqlite::Result<()> {
    let doc = serde_json::to_string(record)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
    db.prepare_cached("INSERT OR REPLACE INTO alerts VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute(params![
            signed(record.id),
            record.state.word(),
            signed(record.opened_ms),
            signed(record.updated_ms),
            doc
        ])
        .map(drop)
}

/// Those that are not resolved, and the newest resolved ones; newest first.
///
/// # Errors
/// SQLite's.
pub fn load(db: &Connection, resolved: u64) -> rusqlite::Result<Vec<Record>> {
    let mut all = select(db, "state <> 'resolved'", u64::from(u32::MAX))?;
    all.extend(select(db, "state = 'resolved'", resolved)?);
    Ok(all)
}

fn select(db: &Connection, which: &str, limit: u64) -> rusqlite::Result<Vec<Record>> {
    let mut select = db.prepare_cached(&format!(
        "SELECT doc FROM alerts WHERE {which} ORDER BY updated_ms DESC LIMIT ?1"
    ))?;
    let docs = select
        .query_map([signed(limit)], |row| row.get::<_, String>(0))?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    // One that another version wrote and that cannot be read is history, not a reason to stop.
    Ok(docs
        .iter()
        .filter_map(|doc| serde_json::from_str(doc).ok())
        .collect())
}

/// The highest number given so far.
///
/// # Errors
/// SQLite's.
pub fn last_id(db: &Connection) -> rusqlite::Result<u64> {
    db.query_row("SELECT coalesce(max(id), 0) FROM alerts", [], |row| {
        row.get::<_, i64>(0)
    })
    .map(unsigned)
}

/// Silences a root until a moment; 0 ends it.
///
/// # Errors
/// SQLite's.
pub fn silence(db: &Connection, root: &str, until_ms: u64, who: &str) -> rusqlite::Result<()> {
    if until_ms == 0 {
        return db
            .execute("DELETE FROM silences WHERE root = ?1", [root])
            .map(drop);
    }
    db.execute(
        "INSERT OR REPLACE INTO silences VALUES (?1, ?2, ?3)",
        params![root, signed(until_ms), who],
    )
    .map(drop)
}

/// The silences in force.
///
/// # Errors
/// SQLite's.
pub fn silences(db: &Connection, now_ms: u64) -> rusqlite::Result<BTreeMap<String, u64>> {
    db.execute(
        "DELETE FROM silences WHERE until_ms <= ?1",
        [signed(now_ms)],
    )?;
    db.prepare_cached("SELECT root, until_ms FROM silences")?
        .query_map([], |row| Ok((row.get(0)?, unsigned(row.get(1)?))))?
        .collect()
}

/// Forgets resolved alerts that are older.
///
/// # Errors
/// SQLite's.
pub fn forget(db: &Connection, before_ms: u64) -> rusqlite::Result<usize> {
    db.execute(
        "DELETE FROM alerts WHERE state = 'resolved' AND updated_ms < ?1",
        [signed(before_ms)],
    )
}

/// Something that is to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Route, alert and happening: the same is sent once.
    pub key: String,
    /// By which route.
    pub route: String,
    /// What.
    pub body: String,
    /// How often it was tried.
    pub tries: u32,
}

/// Adds what is to be sent; what was added before under the same key is left alone.
///
/// # Errors
/// SQLite's.
pub fn enqueue(db: &Connection, delivery: &Delivery, now_ms: u64) -> rusqlite::Result<()> {
    db.prepare_cached("INSERT OR IGNORE INTO deliveries VALUES (?1, ?2, ?3, 0, ?4)")?
        .execute(params![
            delivery.key,
            delivery.route,
            delivery.body,
            signed(now_ms)
        ])
        .map(drop)
}

/// What is due.
///
/// # Errors
/// SQLite's.
pub fn due(db: &Connection, now_ms: u64) -> rusqlite::Result<Vec<Delivery>> {
    db.prepare_cached(
        "SELECT key, route, body, tries FROM deliveries WHERE next_ms <= ?1 ORDER BY next_ms LIMIT 16",
    )?
    .query_map([signed(now_ms)], |row| {
        Ok(Delivery {
            key: row.get(0)?,
            route: row.get(1)?,
            body: row.get(2)?,
            tries: row.get(3)?,
        })
    })?
    .collect()
}

/// It went, or is given up.
///
/// # Errors
/// SQLite's.
pub fn done(db: &Connection, key: &str) -> rusqlite::Result<()> {
    // The key stays, so that the same is not sent again; the retention takes it.
    db.execute(
        "UPDATE deliveries SET next_ms = ?2, body = '' WHERE key = ?1",
        params![key, i64::MAX],
    )
    .map(drop)
}

/// It failed and is tried again later.
///
/// # Errors
/// SQLite's.
pub fn later(db: &Connection, key: &str, next_ms: u64) -> rusqlite::Result<()> {
    db.execute(
        "UPDATE deliveries SET tries = tries + 1, next_ms = ?2 WHERE key = ?1",
        params![key, signed(next_ms)],
    )
    .map(drop)
}
