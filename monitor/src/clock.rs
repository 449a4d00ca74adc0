//! The one clock that decisions are made by, and the one that people read.

use planaria_core::time::Instant;
use rustix::time::{ClockId, clock_gettime};
use std::time::{SystemTime, UNIX_EPOCH};

/// Now, on `CLOCK_BOOTTIME`: it goes on during suspend, so that a lease cannot outlive it.
pub(crate) fn now() -> Instant {
    let time = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
    Instant(seconds.saturating_mul(1_000_000_000).saturating_add(nanos))
}

/// Milliseconds since 1970 by the wall clock, for people and never for a decision.
pub(crate) fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    u64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
}

/// Such a time in UTC (RFC 3339, milliseconds).
#[cfg(any(test, feature = "cli"))]
pub(crate) fn text(unix_ms: u64) -> String {
    let seconds = unix_ms / 1000;
    // Days to the civil calendar (H. Hinnant, "chrono-Compatible Low-Level Date Algorithms").
    let shifted = seconds / 86_400 + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year + u64::from(month <= 2);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    let ms = unix_ms % 1000;
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
}

#[cfg(test)]
mod tests {
    use super::text;

    #[test]
    fn the_time_of_day_is_told_in_utc() {
        for (ms, wanted) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_868_800_000, "2000-03-01T00:00:00.000Z"),
            (1_709_164_800_001, "2024-02-29T00:00:00.001Z"),
            (1_795_266_249_500, "2026-11-21T13:04:09.500Z"),
        ] {
            assert_eq!(text(ms), wanted);
        }
    }

    #[test]
    fn the_clock_does_not_go_back() {
        let first = super::now();
        assert!(super::now() >= first);
        assert!(first.0 > 0);
    }
}
