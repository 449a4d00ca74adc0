//! The history of numbers, down-sampled as it is written: each value goes into a bucket of every width.

use super::{signed, unsigned};
use rusqlite::{Connection, params};
use serde::Serialize;

/// Width of the buckets in seconds, and how long each is kept: fine for hours, coarse for weeks.
pub const SPANS: [(u64, u64); 3] = [(10, 2 * 3600), (60, 2 * 86_400), (600, 60 * 86_400)];

/// One bucket.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Point {
    /// Its beginning, in seconds since 1970.
    pub at_s: u64,
    /// The mean of its values.
    pub mean: f64,
    /// The least.
    pub low: f64,
    /// The greatest.
    pub high: f64,
}

/// Adds values of one moment.
///
/// # Errors
/// SQLite's.
pub fn add(db: &mut Connection, now_s: u64, values: &[(String, f64)]) -> rusqlite::Result<()> {
    let transaction = db.transaction()?;
    {
        let mut upsert = transaction.prepare_cached(
            "INSERT INTO metrics VALUES (?1, ?2, ?3, 1, ?4, ?4, ?4) ON CONFLICT DO UPDATE SET
             count = count + 1, sum = sum + ?4, low = min(low, ?4), high = max(high, ?4)",
        )?;
        for (series, value) in values.iter().filter(|(_, value)| value.is_finite()) {
            for (span, _) in SPANS {
                let at = now_s - now_s % span;
                upsert.execute(params![series, signed(span), signed(at), value])?;
            }
        }
    }
    transaction.commit()
}

/// A series from a moment on, in buckets of that width.
///
/// # Errors
/// SQLite's.
pub fn read(
    db: &Connection,
    series: &str,
    span_s: u64,
    since_s: u64,
) -> rusqlite::Result<Vec<Point>> {
    db.prepare_cached(
        "SELECT at_s, sum / count, low, high FROM metrics
         WHERE series = ?1 AND span_s = ?2 AND at_s >= ?3 ORDER BY at_s LIMIT 10000",
    )?
    .query_map(params![series, signed(span_s), signed(since_s)], |row| {
        Ok(Point {
            at_s: unsigned(row.get(0)?),
            mean: row.get(1)?,
            low: row.get(2)?,
            high: row.get(3)?,
        })
    })?
    .collect()
}

/// The narrowest width that still has values from so long ago.
#[must_use]
pub fn span_for(ago_s: u64) -> u64 {
    SPANS
        .into_iter()
        .find(|(_, kept)| ago_s <= *kept)
        .map_or(600, |(span, _)| span)
}

/// Forgets what each width keeps no longer.
///
/// # Errors
/// SQLite's.
pub fn forget(db: &Connection, now_s: u64) -> rusqlite::Result<usize> {
    let mut gone = 0;
    for (span, kept) in SPANS {
        gone += db.execute(
            "DELETE FROM metrics WHERE span_s = ?1 AND at_s < ?2",
            params![signed(span), signed(now_s.saturating_sub(kept))],
        )?;
    }
    Ok(gone)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::schema;

    #[test]
    fn each_width_has_its_own_means_and_forgets_in_its_own_time() {
        let mut db = schema::open(None).unwrap();
        for (at, value) in [(1_000_000, 1.0), (1_000_009, 3.0), (1_000_010, 8.0)] {
            add(
                &mut db,
                at,
                &[("x".to_owned(), value), ("x".to_owned(), f64::NAN)],
            )
            .unwrap();
        }
        let fine = read(&db, "x", 10, 0).unwrap();
        assert_eq!(fine.len(), 2);
        assert_eq!((fine[0].mean, fine[0].low, fine[0].high), (2.0, 1.0, 3.0));
        assert_eq!(read(&db, "x", 600, 0).unwrap()[0].mean, 4.0);
        forget(&db, 1_000_010 + 3 * 3600).unwrap();
        assert!(read(&db, "x", 10, 0).unwrap().is_empty());
        assert_eq!(read(&db, "x", 60, 0).unwrap().len(), 1);
        assert_eq!(
            (span_for(3600), span_for(86_400), span_for(864_000)),
            (10, 60, 600)
        );
    }
}
