//! How often a container was brought back, by whomever: back-off, restart intensity, quarantine.

use crate::message::PatientRecord;
use crate::node::NodeConfig;
use crate::time::Instant;
use std::collections::VecDeque;
use std::time::Duration;

/// More restarts than any limit asks about.
const REMEMBERED: usize = 64;

/// A restart that was only seen by looking is the one that another healer heard of, if both came within
/// this: a look may come seconds after a lost event, and the word of it seconds later.
const INFERRED: Duration = Duration::from_secs(5);
/// A person's stop or release takes back what the engine did before it; its clock may have been set since.
const CLEARED_REACH: Duration = Duration::from_secs(120);

/// One start that followed a death without a stop, or an attempt that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Restart {
    at: Instant,
    /// The engine's time of it (nanoseconds since 1970): what all healers have in common.
    engine: i64,
    /// That time is an event's, or whoever failed made it up; else it was estimated by looking.
    exact: bool,
    /// `at` was told by a clock that nobody sets; the engine's memory is dated by the engine's.
    dated: bool,
}

impl Restart {
    /// How far apart two are that may be one; `None`: they are two.
    fn distance(&self, other: &Self) -> Option<Duration> {
        let apart = self.at.since(other.at).max(other.at.since(self.at));
        if self.exact && other.exact {
            return (self.engine == other.engine).then_some(apart);
        }
        // The engine's clock may be set between an event and a look, and ours tells nothing of the time that
        // this healer was away: near by either is near.
        let engine = Duration::from_nanos(self.engine.abs_diff(other.engine));
        let nearest = apart.min(engine);
        (nearest < INFERRED).then_some(nearest)
    }
}

/// The count of one container: a set that healers unite, so that each counts what any of them saw.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Intensity {
    /// Oldest first.
    restarts: VecDeque<Restart>,
    /// Restarts in a row: without `BACKOFF_RESET` of running between.
    row: u32,
    pub(crate) quarantined: Option<Instant>,
    /// People were told of the quarantine then, by whomever.
    pub(super) told: Option<Instant>,
    /// A person's stop or release took everything back: when, and the engine's time of it.
    cleared: Option<(Instant, i64)>,
    /// When this very healer saw that; how long ago another did may be told by a clock that was set.
    pardoned: Option<Instant>,
}

impl Intensity {
    /// A `start` event that followed a death, or an attempt of ours that failed, at the engine's time.
    pub(super) fn count(&mut self, now: Instant, engine: i64) {
        let known = |restart: &Restart| restart.exact && restart.engine == engine;
        if self.restarts.iter().any(known) {
            // Another healer's word of it was faster than the event.
            return;
        }
        let exact = true;
        self.insert(Restart {
            at: now,
            engine,
            exact,
            dated: true,
        });
        self.row = self.row.saturating_add(1);
    }

    /// A look showed another life than the one that died, and no event told of its start.
    pub(super) fn count_unheard(&mut self, now: Instant, engine: i64) {
        let exact = false;
        self.insert(Restart {
            at: now,
            engine,
            exact,
            dated: true,
        });
        self.row = self.row.saturating_add(1);
    }

    /// The `start` event of the life that a look showed before it: it was counted then.
    pub(super) fn heard_after_all(&mut self, now: Instant, engine: i64) {
        if let Some(newest) = self.restarts.back_mut()
            && !newest.exact
            && now.since(newest.at) < INFERRED
        {
            newest.engine = engine;
            newest.exact = true;
        }
    }

    /// Whether it was new.
    fn unite(&mut self, restart: Restart) -> bool {
        let near = self
            .restarts
            .iter_mut()
            .filter_map(|known| Some((known.distance(&restart)?, known)))
            .min_by_key(|(apart, _)| *apart);
        if let Some((_, known)) = near {
            let better = restart.exact && !known.exact || restart.dated && !known.dated;
            if better && restart.exact {
                *known = restart;
            }
            return false;
        }
        self.insert(restart);
        true
    }

    fn insert(&mut self, restart: Restart) {
        let at = self
            .restarts
            .partition_point(|known| known.at <= restart.at);
        self.restarts.insert(at, restart);
        if self.restarts.len() > REMEMBERED {
            self.restarts.pop_front();
        }
    }

    /// A person stopped, started anew or released it: nothing is held against it.
    pub(super) fn clear(&mut self, now: Instant, engine: i64) {
        *self = Self {
            cleared: Some((now, engine)),
            pardoned: Some(now),
            ..Self::default()
        };
    }

    /// A person started what is in quarantine: it has its chance, and the count stays.
    pub(super) fn give_a_chance(&mut self) {
        self.quarantined = None;
        self.told = None;
    }

    /// It ran for `BACKOFF_RESET`.
    pub(crate) fn settle(&mut self) {
        self.row = 0;
    }

    pub(crate) fn within(&self, now: Instant, window: Duration) -> usize {
        self.restarts
            .iter()
            .filter(|known| now.since(known.at) < window)
            .count()
    }

    pub(crate) fn exceeded(&self, now: Instant, limit: u32, window: Duration) -> bool {
        self.within(now, window) >= limit.max(1) as usize
    }

    /// It goes into quarantine; whether people are still to be told.
    pub(super) fn quarantine(&mut self, now: Instant, window: Duration) -> bool {
        self.quarantined = Some(now);
        // Another healer's quarantine of the same loop, of which only the alert is remembered.
        self.told = self.told.filter(|at| now.since(*at) < window);
        self.told.is_none()
    }

    /// What must be on the volume before this healer ends: since when it is in quarantine, and when people
    /// were told of it.
    pub(super) fn bans(&self) -> (Option<Instant>, Option<Instant>) {
        (self.quarantined, self.told)
    }

    /// The time of its quarantine is over, as far as this healer can tell: where it was away, by a clock
    /// that may have been set. Nobody's will takes anything back, so that one who knows better is believed.
    pub(super) fn serve_out(&mut self) {
        self.restarts.clear();
        self.row = 0;
        self.quarantined = None;
        self.told = None;
    }

    /// Since when it is in a quarantine of which nobody was told.
    pub(super) fn untold(&self) -> Option<Instant> {
        self.quarantined.filter(|_| self.told.is_none())
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

    /// Writes down what a successor must know.
    pub(super) fn tell(&self, now: Instant, window: Duration, record: &mut PatientRecord) {
        let recent = self.restarts.iter().filter(|r| now.since(r.at) < window);
        for restart in recent {
            record.restarts_ms_ago.push(ms(now, restart.at));
            let sign = if restart.exact { 1 } else { -1 };
            record.restarts_at.push(restart.engine.saturating_mul(sign));
        }
        record.quarantined_ms = self.quarantined.map(|at| ms(now, at));
        let fresh = |at: &Instant| self.quarantined.is_some() || now.since(*at) < window;
        record.told_ms = self.told.filter(fresh).map(|at| ms(now, at));
        if let Some((at, engine)) = self.cleared.filter(|(at, _)| now.since(*at) < window) {
            record.cleared_ms = Some(ms(now, at));
            record.cleared_at = engine;
        }
    }

    /// What somebody else (or an earlier life of this healer) knows. `engine`: the engine's time now.
    pub(super) fn adopt(&mut self, now: Instant, engine: i64, record: &PatientRecord) {
        self.adopt_dated(now, engine, record, true);
    }

    /// What the engine remembers, dated by its own clock, which may have been set since.
    pub(super) fn adopt_history(&mut self, now: Instant, engine: i64, record: &PatientRecord) {
        self.adopt_dated(now, engine, record, false);
    }

    fn adopt_dated(&mut self, now: Instant, engine: i64, record: &PatientRecord, dated: bool) {
        let before = |ms: u64| now - Duration::from_millis(ms);
        if let Some(ago) = record.cleared_ms {
            self.adopt_cleared(before(ago), record.cleared_at);
        }
        let had = self.restarts.len();
        for (index, ago) in record.restarts_ms_ago.iter().enumerate().take(REMEMBERED) {
            let told = record.restarts_at.get(index).copied().filter(|at| *at != 0);
            let ago_ns = i64::try_from(ago.saturating_mul(1_000_000)).unwrap_or(i64::MAX);
            let restart = Restart {
                at: before(*ago),
                engine: told.map_or(engine.saturating_sub(ago_ns), i64::saturating_abs),
                exact: told.is_some_and(|at| at > 0),
                dated,
            };
            if !self.took_back(&restart) {
                self.unite(restart);
            }
        }
        let new = self.restarts.len().saturating_sub(had);
        self.row = self.row.saturating_add(u32::try_from(new).unwrap_or(0));
        let pardoned = |at: &Instant| self.pardoned.is_some_and(|cleared| *at <= cleared);
        if self.quarantined.is_none() {
            self.quarantined = record.quarantined_ms.map(before).filter(|at| !pardoned(at));
        }
        if self.told.is_none() {
            self.told = record.told_ms.map(before).filter(|at| !pardoned(at));
        }
    }

    fn adopt_cleared(&mut self, at: Instant, engine: i64) {
        let known = self
            .cleared
            .is_some_and(|(known, of)| of == engine || known >= at);
        if known {
            return;
        }
        self.cleared = Some((at, engine));
        let restarts = std::mem::take(&mut self.restarts);
        self.restarts = restarts
            .into_iter()
            .filter(|restart| !self.took_back(restart))
            .collect();
        self.row = self
            .row
            .min(u32::try_from(self.restarts.len()).unwrap_or(u32::MAX));
    }

    /// A person's stop or release came after it.
    fn took_back(&self, restart: &Restart) -> bool {
        let reach = i64::try_from(CLEARED_REACH.as_nanos()).unwrap_or(i64::MAX);
        self.cleared.is_some_and(|(at, engine)| {
            if restart.exact {
                let before = engine.saturating_sub(restart.engine);
                (0..reach).contains(&before)
            } else {
                restart.at <= at
            }
        })
    }
}

fn ms(now: Instant, at: Instant) -> u64 {
    u64::try_from(now.since(at).as_millis()).unwrap_or(u64::MAX)
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
            intensity.count(Instant(0), waits.len() as i64);
        }
        assert_eq!(waits, [0, 1, 2, 4, 8, 16, 32, 60]);
    }

    #[test]
    fn the_sixth_in_the_window_is_one_too_many() {
        let mut intensity = Intensity::default();
        let window = Duration::from_secs(60);
        for second in 0..5 {
            assert!(!intensity.exceeded(Instant(second), 5, window));
            intensity.count(Instant(second), second as i64);
        }
        assert!(intensity.exceeded(Instant(5), 5, window));
        assert!(!intensity.exceeded(Instant(0) + window + window, 5, window));
    }

    const SECOND: i64 = 1_000_000_000;

    fn at(second: u64) -> Instant {
        Instant(0) + Duration::from_secs(second)
    }

    fn record(intensity: &Intensity, now: Instant) -> PatientRecord {
        let mut record = PatientRecord::of("c".into(), "c".into());
        intensity.tell(now, Duration::from_secs(60), &mut record);
        record
    }

    #[test]
    fn two_healers_that_each_counted_a_part_count_all_of_it() {
        let (mut one, mut other) = (Intensity::default(), Intensity::default());
        for second in [1, 2, 3] {
            one.count(at(second), second as i64 * SECOND);
        }
        for second in [2, 3, 4] {
            other.count(at(second), second as i64 * SECOND);
        }
        // One's clock is its own: only the engine's times are compared.
        let told = record(&other, at(6));
        one.adopt(at(9), 9 * SECOND, &told);
        assert_eq!(one.within(at(9), Duration::from_secs(60)), 4);
        one.adopt(at(9), 9 * SECOND, &told);
        assert_eq!(one.within(at(9), Duration::from_secs(60)), 4);
    }

    #[test]
    fn what_was_seen_by_looking_is_what_another_heard() {
        let (mut one, mut other) = (Intensity::default(), Intensity::default());
        one.count_unheard(at(3), 3 * SECOND);
        other.count(at(1), SECOND);
        one.adopt(at(4), 4 * SECOND, &record(&other, at(4)));
        assert_eq!(one.within(at(4), Duration::from_secs(60)), 1);
        other.adopt(at(4), 4 * SECOND, &record(&one, at(4)));
        assert_eq!(other.within(at(4), Duration::from_secs(60)), 1);
    }

    #[test]
    fn a_stop_that_one_healer_missed_clears_its_count_too() {
        let (mut heard, mut missed) = (Intensity::default(), Intensity::default());
        for second in 1..5 {
            heard.count(at(second), second as i64 * SECOND);
            missed.count(at(second), second as i64 * SECOND);
        }
        heard.clear(at(6), 6 * SECOND);
        heard.count(at(8), 8 * SECOND);
        heard.adopt(at(9), 9 * SECOND, &record(&missed, at(9)));
        assert_eq!(heard.within(at(9), Duration::from_secs(60)), 1);
        missed.adopt(at(9), 9 * SECOND, &record(&heard, at(9)));
        assert_eq!(missed.within(at(9), Duration::from_secs(60)), 1);
    }

    #[test]
    fn a_quarantine_that_one_takes_for_served_is_believed_again() {
        let window = Duration::from_secs(60);
        let (mut stayed, mut away) = (Intensity::default(), Intensity::default());
        for second in 1..=5 {
            stayed.count(at(second), second as i64 * SECOND);
        }
        assert!(stayed.quarantine(at(5), window));
        stayed.told = Some(at(6));
        // Its clock says that a quarter of an hour has passed.
        away.adopt(at(2000), 2000 * SECOND, &record(&stayed, at(7)));
        away.serve_out();
        away.adopt(at(2001), 2001 * SECOND, &record(&stayed, at(8)));
        assert_eq!(away.within(at(2001), window), 5);
        assert!(away.quarantined.is_some());
        assert_eq!(away.untold(), None);
    }

    #[test]
    fn a_successor_knows_whether_people_were_told() {
        let window = Duration::from_secs(60);
        let (mut one, mut other) = (Intensity::default(), Intensity::default());
        assert!(one.quarantine(at(5), window));
        other.adopt(at(6), 6 * SECOND, &record(&one, at(6)));
        assert_eq!(other.untold(), Some(at(5)));
        one.told = Some(at(6));
        other.adopt(at(7), 7 * SECOND, &record(&one, at(7)));
        assert_eq!(other.untold(), None);
        // Of a quarantine that it never heard of it need not tell again.
        let mut third = Intensity::default();
        let mut told = record(&one, at(7));
        told.quarantined_ms = None;
        third.adopt(at(8), 8 * SECOND, &told);
        assert!(!third.quarantine(at(8), window));
    }
}
