//! Simulated time: nanoseconds since the world began.

use std::time::Duration;

/// One millisecond.
pub const MS: u64 = 1_000_000;
/// One second.
pub const S: u64 = 1_000 * MS;

/// What the world's first nanosecond is on the processes' monotonic clock: no state machine may think
/// that time begins at zero.
pub const EPOCH: u64 = 3_600 * S;

/// What the world's first nanosecond is on the engine's wall clock (nanoseconds since 1970).
pub const WALL_EPOCH: i64 = 1_760_000_000_000_000_000;

/// A span in nanoseconds.
#[must_use]
pub fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

/// A point in time for people: seconds with milliseconds.
#[must_use]
pub fn shown(at: u64) -> String {
    format!("{:>9.3}", at as f64 / S as f64)
}
