//! The judge of pulses: it counts its own ticks, and nothing else is time to it.
//!
//! A process that was frozen (paused, suspended, throttled) finds on its thaw that every clock has
//! jumped; a judge by clock would then end what was merely frozen. This one adds exactly one tick to
//! every age whenever it wakes, however late that is: a freeze costs nobody more than one tick.

use std::time::Duration;

/// The judge. Its caller wakes it once per tick; see [`Judge::advance`].
#[derive(Clone, Debug)]
pub struct Judge {
    tick: Duration,
    now: u64,
}

impl Judge {
    /// A judge who is woken about this often.
    #[must_use]
    pub fn new(tick: Duration) -> Self {
        Self { tick, now: 0 }
    }

    /// One more tick went by, on time or late. Returns its number, which pulses note from now on.
    pub fn advance(&mut self) -> u64 {
        self.now = self.now.saturating_add(1);
        self.now
    }

    /// How old a pulse is that noted this tick.
    #[must_use]
    pub fn age(&self, last: u64) -> Duration {
        let ticks = self.now.saturating_sub(last);
        self.tick
            .saturating_mul(u32::try_from(ticks).unwrap_or(u32::MAX))
    }

    /// By how much a pulse is late, if it is: older than its deadline, and past its excuse.
    #[must_use]
    pub fn late(&self, last: u64, deadline: Duration, excused_until: u64) -> Option<Duration> {
        if self.now < excused_until {
            return None;
        }
        // An excuse that ran out gives the whole deadline once more: the work was announced.
        let age = self.age(last.max(excused_until));
        age.checked_sub(deadline).filter(|late| !late.is_zero())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Duration = Duration::from_millis(200);
    const DEADLINE: Duration = Duration::from_secs(1);

    fn after(ticks: u32) -> Judge {
        let mut judge = Judge::new(TICK);
        for _ in 0..ticks {
            judge.advance();
        }
        judge
    }

    #[test]
    fn a_pulse_is_late_only_after_its_deadline() {
        assert_eq!(after(5).late(0, DEADLINE, 0), None);
        assert_eq!(after(6).late(0, DEADLINE, 0), Some(TICK));
        assert_eq!(after(6).late(1, DEADLINE, 0), None);
    }

    #[test]
    fn a_freeze_costs_one_tick() {
        // However long the judge itself was frozen, it wakes once for it.
        let mut judge = after(4);
        judge.advance();
        assert_eq!(judge.late(0, DEADLINE, 0), None);
    }

    #[test]
    fn announced_work_is_waited_for_and_not_longer() {
        assert_eq!(after(299).late(0, DEADLINE, 300), None);
        assert_eq!(after(305).late(0, DEADLINE, 300), None);
        assert_eq!(after(306).late(0, DEADLINE, 300), Some(TICK));
    }

    #[test]
    fn a_pulse_from_the_future_is_young() {
        assert_eq!(after(3).age(7), Duration::ZERO);
    }
}
