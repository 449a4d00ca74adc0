//! How often a container was brought back, by whomever: back-off, restart intensity, quarantine.

use crate::node::NodeConfig;
use crate::time::Instant;
use std::collections::VecDeque;
use std::time::Duration;

/// More restarts than any limit asks about.
const REMEMBERED: usize = 64;

/// The count of one container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Intensity {
    /// Starts that followed a death without a stop, newest last.
    restarts: VecDeque<Instant>,
    /// Restarts in a row: without `BACKOFF_RESET` of running between.
    row: u32,
    pub(crate) quarantined: Option<Instant>,
}

impl Intensity {
    pub(crate) fn count(&mut self, now: Instant) {
        self.restarts.push_back(now);
        if self.restarts.len() > REMEMBERED {
            self.restarts.pop_front();
        }
        self.row = self.row.saturating_add(1);
    }

    /// A person stopped, started anew or released it: nothing is held against it.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// It ran for `BACKOFF_RESET`.
    pub(crate) fn settle(&mut self) {
        self.row = 0;
    }

    pub(crate) fn within(&self, now: Instant, window: Duration) -> usize {
        self.restarts
            .iter()
            .filter(|at| now.since(**at) < window)
            .count()
    }

    pub(crate) fn exceeded(&self, now: Instant, limit: u32, window: Duration) -> bool {
        self.within(now, window) >= limit.max(1) as usize
    }

    /// The wait before the next start; the first in a row waits for nothing.
    pub(crate) fn backoff(&self, config: &NodeConfig) -> Duration {
        match self.row {
            0 => Duration::ZERO,
            row => {
                let doubled = config
                    .backoff_min
                    .saturating_mul(1_u32 << (row - 1).min(20));
                doubled.min(config.backoff_max)
            }
        }
    }

    pub(crate) fn ago(&self, now: Instant, window: Duration) -> Vec<u64> {
        self.restarts
            .iter()
            .map(|at| now.since(*at))
            .filter(|ago| *ago < window)
            .map(|ago| u64::try_from(ago.as_millis()).unwrap_or(u64::MAX))
            .collect()
    }

    /// What a predecessor knew; kept where it is more than what was seen here.
    pub(crate) fn adopt(&mut self, now: Instant, ago: &[u64], quarantined: Option<u64>) {
        let before = |ms: u64| now - Duration::from_millis(ms);
        if ago.len() > self.restarts.len() {
            self.restarts = ago
                .iter()
                .rev()
                .take(REMEMBERED)
                .rev()
                .map(|ms| before(*ms))
                .collect();
            self.row = self
                .row
                .max(u32::try_from(self.restarts.len()).unwrap_or(0));
        }
        if self.quarantined.is_none() {
            self.quarantined = quarantined.map(before);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_restart_waits_for_nothing_and_the_next_ones_double() {
        let settings = crate::settings::Settings::default();
        let config = NodeConfig::from_settings(
            &settings,
            crate::id::MemberName::new("healer-1").unwrap(),
            None,
            crate::node::Role::Healer,
        );
        let mut intensity = Intensity::default();
        let mut waits = Vec::new();
        for _ in 0..8 {
            waits.push(intensity.backoff(&config).as_secs());
            intensity.count(Instant(0));
        }
        assert_eq!(waits, [0, 1, 2, 4, 8, 16, 32, 60]);
    }

    #[test]
    fn the_sixth_in_the_window_is_one_too_many() {
        let mut intensity = Intensity::default();
        let window = Duration::from_secs(60);
        for second in 0..5 {
            assert!(!intensity.exceeded(Instant(second), 5, window));
            intensity.count(Instant(second));
        }
        assert!(intensity.exceeded(Instant(5), 5, window));
        assert!(!intensity.exceeded(Instant(0) + window + window, 5, window));
    }

    #[test]
    fn a_predecessors_count_is_kept_where_it_is_larger() {
        let mut intensity = Intensity::default();
        let now = Instant(0) + Duration::from_secs(100);
        intensity.count(now);
        intensity.adopt(now, &[3000, 2000, 1000], Some(500));
        assert_eq!(intensity.within(now, Duration::from_secs(60)), 3);
        assert!(intensity.quarantined.is_some());
        intensity.adopt(now, &[10], None);
        assert_eq!(intensity.within(now, Duration::from_secs(60)), 3);
    }
}
