//! Who may act, and what was done: sessions, tokens, the audit.

use super::{signed, unsigned};
use rusqlite::{Connection, OptionalExtension, params};
use serde::Serialize;

/// The audit is cut at so many lines.
const AUDIT_MAX: u64 = 50_000;

/// Somebody who is logged in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// What a page must quote with each act.
    pub csrf: String,
    /// Who.
    pub who: String,
}

/// Begins a session under the digest of its cookie.
///
/// # Errors
/// SQLite's.
pub fn begin(
    db: &Connection,
    hash: &str,
    session: &Session,
    until_ms: u64,
) -> rusqlite::Result<()> {
    db.execute(
        "INSERT OR REPLACE INTO sessions VALUES (?1, ?2, ?3, ?4)",
        params![hash, session.csrf, session.who, signed(until_ms)],
    )
    .map(drop)
}

/// The session under that digest, where it still runs.
///
/// # Errors
/// SQLite's.
pub fn session(db: &Connection, hash: &str, now_ms: u64) -> rusqlite::Result<Option<Session>> {
    db.prepare_cached("SELECT csrf, who FROM sessions WHERE hash = ?1 AND until_ms > ?2")?
        .query_row(params![hash, signed(now_ms)], |row| {
            Ok(Session {
                csrf: row.get(0)?,
                who: row.get(1)?,
            })
        })
        .optional()
}

/// Ends a session, and those whose time is over.
///
/// # Errors
/// SQLite's.
pub fn end(db: &Connection, hash: &str, now_ms: u64) -> rusqlite::Result<()> {
    db.execute(
        "DELETE FROM sessions WHERE hash = ?1 OR until_ms <= ?2",
        params![hash, signed(now_ms)],
    )
    .map(drop)
}

/// A token as it may be shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Token {
    /// Its name.
    pub name: String,
    /// When it was made, in milliseconds since 1970.
    pub created_ms: u64,
}

/// Keeps a token's digest. False where the name is taken.
///
/// # Errors
/// SQLite's.
pub fn add_token(db: &Connection, name: &str, hash: &str, now_ms: u64) -> rusqlite::Result<bool> {
    db.execute(
        "INSERT OR IGNORE INTO tokens VALUES (?1, ?2, ?3)",
        params![name, hash, signed(now_ms)],
    )
    .map(|rows| rows > 0)
}

/// Whose token that is.
///
/// # Errors
/// SQLite's.
pub fn token(db: &Connection, hash: &str) -> rusqlite::Result<Option<String>> {
    db.prepare_cached("SELECT name FROM tokens WHERE hash = ?1")?
        .query_row([hash], |row| row.get(0))
        .optional()
}

/// All tokens.
///
/// # Errors
/// SQLite's.
pub fn tokens(db: &Connection) -> rusqlite::Result<Vec<Token>> {
    db.prepare_cached("SELECT name, created_ms FROM tokens ORDER BY name")?
        .query_map([], |row| {
            Ok(Token {
                name: row.get(0)?,
                created_ms: unsigned(row.get(1)?),
            })
        })?
        .collect()
}

/// Withdraws a token; false where there is none of that name.
///
/// # Errors
/// SQLite's.
pub fn remove_token(db: &Connection, name: &str) -> rusqlite::Result<bool> {
    db.execute("DELETE FROM tokens WHERE name = ?1", [name])
        .map(|rows| rows > 0)
}

/// One line of the audit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// Who.
    pub who: String,
    /// What: `heal`, `login`, `alert.acknowledge`.
    pub act: String,
    /// To whom or what; empty where there is no target.
    pub target: String,
    /// It was done.
    pub accepted: bool,
    /// What came of it.
    pub text: String,
}

/// Adds a line.
///
/// # Errors
/// SQLite's.
pub fn audit(db: &Connection, line: &Line) -> rusqlite::Result<()> {
    db.prepare_cached("INSERT INTO audit (at_ms, who, act, target, accepted, text) VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?
        .execute(params![
            signed(line.at_ms),
            line.who,
            line.act,
            line.target,
            line.accepted,
            line.text
        ])
        .map(drop)
}

/// The newest lines, newest first.
///
/// # Errors
/// SQLite's.
pub fn audited(db: &Connection, limit: u64) -> rusqlite::Result<Vec<Line>> {
    db.prepare_cached(
        "SELECT at_ms, who, act, target, accepted, text FROM audit ORDER BY id DESC LIMIT ?1",
    )?
    .query_map([signed(limit)], |row| {
        Ok(Line {
            at_ms: unsigned(row.get(0)?),
            who: row.get(1)?,
            act: row.get(2)?,
            target: row.get(3)?,
            accepted: row.get(4)?,
            text: row.get(5)?,
        })
    })?
    .collect()
}

/// Forgets the oldest of too many lines.
///
/// # Errors
/// SQLite's.
pub fn forget(db: &Connection) -> rusqlite::Result<usize> {
    db.execute(
        "DELETE FROM audit WHERE id <= (SELECT coalesce(max(id), 0) FROM audit) - ?1",
        [signed(AUDIT_MAX)],
    )
}
