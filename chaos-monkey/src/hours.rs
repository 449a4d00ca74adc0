//! When the timer may attack: hours of the day and excluded days, in UTC.

use crate::clock;

/// Minutes of a day.
const DAY_MIN: u64 = 24 * 60;

/// When attacks by the timer are allowed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hours {
    /// From and to, in minutes of the day; none: always. One that ends before it begins goes over midnight.
    windows: Vec<(u64, u64)>,
    days: Vec<Day>,
}

/// A day on which there is peace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Day {
    /// 0: Monday.
    Week(u64),
    /// Month and day.
    Year(u64, u64),
}

const WEEK: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const YEAR: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];

impl Hours {
    /// Reads `CHAOS_WINDOWS` (`09:00-17:30`) and `CHAOS_EXCLUDED_DAYS` (`Sat`, `Dec24`).
    ///
    /// # Errors
    /// The first that is none, and how it would be right.
    pub fn parse(windows: &[String], days: &[String]) -> Result<Self, String> {
        let windows = windows
            .iter()
            .map(|text| window(text))
            .collect::<Result<_, _>>()?;
        let days = days
            .iter()
            .map(|text| day(text))
            .collect::<Result<_, _>>()?;
        Ok(Self { windows, days })
    }

    /// Why there is peace at that time (milliseconds since 1970); `None`: the timer may attack.
    #[must_use]
    pub fn peace(&self, now_ms: u64) -> Option<String> {
        let days = now_ms / 86_400_000;
        let (_, month, of_month) = clock::civil(days);
        // 1970 began on a Thursday.
        let of_week = (days + 3) % 7;
        let excluded = self.days.iter().any(|day| match *day {
            Day::Week(day) => day == of_week,
            Day::Year(in_month, day) => (in_month, day) == (month, of_month),
        });
        if excluded {
            return Some("today is in CHAOS_EXCLUDED_DAYS (UTC)".to_owned());
        }
        let minute = now_ms / 60_000 % DAY_MIN;
        let inside = |&(from, to): &(u64, u64)| {
            if from <= to {
                (from..to).contains(&minute)
            } else {
                minute >= from || minute < to
            }
        };
        (!self.windows.is_empty() && !self.windows.iter().any(inside))
            .then(|| "the time is outside of CHAOS_WINDOWS (UTC)".to_owned())
    }
}

fn window(text: &str) -> Result<(u64, u64), String> {
    let minutes = |text: &str| {
        let (hour, minute) = text.trim().split_once(':')?;
        let (hour, minute): (u64, u64) = (hour.parse().ok()?, minute.parse().ok()?);
        let minutes = hour * 60 + minute;
        (minute < 60 && minutes <= DAY_MIN).then_some(minutes)
    };
    let parsed = text
        .split_once('-')
        .and_then(|(from, to)| Some((minutes(from)?, minutes(to)?)));
    parsed.filter(|(from, to)| from != to).ok_or_else(|| {
        format!("{text:?} in CHAOS_WINDOWS is no time of the day; write 09:00-17:30")
    })
}

fn day(text: &str) -> Result<Day, String> {
    let small = text.to_lowercase();
    let number = |index: usize| u64::try_from(index).unwrap_or(0);
    if let Some(index) = WEEK.iter().position(|day| *day == small) {
        return Ok(Day::Week(number(index)));
    }
    let of_year = YEAR
        .iter()
        .position(|month| small.starts_with(month))
        .and_then(|index| {
            let day: u64 = small.get(3..)?.parse().ok()?;
            (1..=31)
                .contains(&day)
                .then_some(Day::Year(number(index) + 1, day))
        });
    of_year.ok_or_else(|| format!("{text:?} in CHAOS_EXCLUDED_DAYS is no day; write Sat or Dec24"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hours(windows: &[&str], days: &[&str]) -> Hours {
        let own = |all: &[&str]| all.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
        Hours::parse(&own(windows), &own(days)).unwrap()
    }

    /// 2026-11-21, a Saturday, at that time of the day.
    fn saturday(time: &str) -> u64 {
        clock::parse(&format!("2026-11-21T{time}:00Z")).unwrap()
    }

    #[test]
    fn windows_open_and_shut_also_over_midnight() {
        let day = hours(&["09:00-17:30"], &[]);
        assert_eq!(day.peace(saturday("09:00")), None);
        assert_eq!(day.peace(saturday("17:29")), None);
        assert!(day.peace(saturday("17:30")).is_some());
        assert!(day.peace(saturday("08:59")).is_some());
        let night = hours(&["22:00-06:00"], &[]);
        assert_eq!(night.peace(saturday("23:00")), None);
        assert_eq!(night.peace(saturday("05:59")), None);
        assert!(night.peace(saturday("12:00")).is_some());
        assert_eq!(Hours::default().peace(saturday("03:00")), None);
    }

    #[test]
    fn excluded_days_are_days_of_peace() {
        assert!(hours(&[], &["Sat"]).peace(saturday("12:00")).is_some());
        assert!(hours(&[], &["Nov21"]).peace(saturday("12:00")).is_some());
        assert_eq!(
            hours(&[], &["Sun", "Nov22", "Fri"]).peace(saturday("12:00")),
            None
        );
    }

    #[test]
    fn nonsense_is_refused_with_a_mend() {
        for wrong in ["9-17", "25:00-26:00", "09:00-09:00", "x", "09:60-10:00"] {
            assert!(
                Hours::parse(&[wrong.to_owned()], &[])
                    .unwrap_err()
                    .contains("09:00-17:30")
            );
        }
        for wrong in ["Caturday", "Dec", "Dec32", ""] {
            assert!(
                Hours::parse(&[], &[wrong.to_owned()])
                    .unwrap_err()
                    .contains("Dec24")
            );
        }
    }
}
