//! Wall-clock time for people and for the age of containers; no decision about who is alive hangs on it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970, now.
#[must_use]
pub fn now_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO);
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// `2026-11-21T13:05:10Z`, for people.
#[must_use]
pub fn text(ms: u64) -> String {
    let (days, rest) = (ms / 86_400_000, ms % 86_400_000 / 1000);
    let (year, month, day) = civil(days);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z",
        rest / 3600,
        rest / 60 % 60,
        rest % 60
    )
}

/// Milliseconds since 1970 of an engine's UTC time (RFC 3339 with `Z`); `None` for anything else and
/// for the engine's "never" (year 1).
#[must_use]
pub fn parse(text: &str) -> Option<u64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let mut date = date.splitn(3, '-').map(|part| part.parse::<u64>().ok());
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let mut time = time.splitn(3, ':');
    let (hour, minute) = (
        time.next()?.parse::<u64>().ok()?,
        time.next()?.parse::<u64>().ok()?,
    );
    let second = time.next()?.parse::<f64>().ok()?;
    let sane = (1970..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && (0.0..61.0).contains(&second);
    if !sane {
        return None;
    }
    let millis = u64::try_from(Duration::from_secs_f64(second).as_millis()).ok()?;
    Some(((days(year, month, day) * 24 + hour) * 60 + minute) * 60_000 + millis)
}

/// Days since 1970 of a date (Howard Hinnant, "chrono-compatible low-level date algorithms").
fn days(year: u64, month: u64, day: u64) -> u64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year / 400, year % 400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// The date of a day since 1970 (same source).
pub(crate) fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    (year + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_an_engine_are_read_and_written() {
        for (engine, ms) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T12:00:00Z", 951_825_600_000),
            ("2026-11-21T13:05:10Z", 1_795_266_310_000),
        ] {
            assert_eq!(parse(engine), Some(ms), "{engine}");
            assert_eq!(text(ms), engine);
        }
        assert_eq!(
            parse("2026-11-21T13:05:10.250900100Z"),
            Some(1_795_266_310_250)
        );
    }

    #[test]
    fn never_and_nonsense_have_no_time() {
        for bad in [
            "0001-01-01T00:00:00Z",
            "",
            "x",
            "2026-13-01T00:00:00Z",
            "2026-01-01T00:00:00+01:00",
            "2026-01-01T99:00:00Z",
            "2026-01-01T00:00:NaNZ",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
