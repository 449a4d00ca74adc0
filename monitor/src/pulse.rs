//! Pulses: signs of life of tasks to their own process's watchdog.

use crate::apoptosis::Words;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

/// How often the watchdog looks, and how coarse the time is that a pulse notes.
pub(crate) const TICK: Duration = Duration::from_millis(200);

/// More pulses than this are a leak; further ones are not judged (and a log line says so).
const PULSES_MAX: usize = 1024;

/// Not judged: never pulsed yet, or nothing is due.
const DISARMED: u64 = u64::MAX;

/// Called instead of ending the process, where a pulse is not this process's own.
pub(crate) type Handler = Box<dyn Fn(&Words) + Send + Sync>;

/// One pulse as the watchdog sees it.
pub(crate) struct Cell {
    pub(crate) name: String,
    pub(crate) reason: &'static str,
    pub(crate) handler: Option<Handler>,
    deadline_ms: AtomicU64,
    last: AtomicU64,
    excused_until: AtomicU64,
}

impl std::fmt::Debug for Cell {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Cell")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// What the watchdog reads of a cell: the tick of the last pulse, and until which it is excused.
pub(crate) struct Reading {
    pub(crate) last: u64,
    pub(crate) excused_until: u64,
}

fn milliseconds(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

impl Cell {
    pub(crate) fn deadline(&self) -> Duration {
        Duration::from_millis(self.deadline_ms.load(Relaxed))
    }

    /// Nothing is due until the next pulse.
    pub(crate) fn rest(&self) {
        self.last.store(DISARMED, Relaxed);
    }

    /// `None`: not to be judged now.
    pub(crate) fn read(&self) -> Option<Reading> {
        let last = self.last.load(Relaxed);
        (last != DISARMED).then(|| Reading {
            last,
            excused_until: self.excused_until.load(Relaxed),
        })
    }
}

/// The sign of life of one task. When it stays away for longer than its deadline, the watchdog ends
/// the process. Dropping the last clone ends the duty.
#[derive(Clone, Debug)]
pub struct Pulse {
    cell: Arc<Cell>,
    clock: Arc<AtomicU64>,
}

impl Pulse {
    /// I live: one relaxed store.
    #[inline]
    pub fn pulse(&self) {
        self.cell.last.store(self.clock.load(Relaxed), Relaxed);
    }

    /// Announces long work: no pulse is due until it is done (the guard is dropped), but for at most
    /// so long.
    #[must_use = "the excuse ends when the guard is dropped"]
    pub fn expect(&self, span: Duration) -> Excuse {
        self.pulse();
        let ticks = u64::try_from(span.as_millis() / TICK.as_millis()).unwrap_or(u64::MAX);
        let until = self.clock.load(Relaxed).saturating_add(ticks);
        let before = self.cell.excused_until.swap(until, Relaxed);
        if before > until {
            self.cell.excused_until.store(before, Relaxed);
        }
        Excuse {
            pulse: self.clone(),
            before,
        }
    }

    /// A pulse, and no other is due for so long.
    #[cfg(feature = "cli")]
    pub(crate) fn extend(&self, span: Duration) {
        self.pulse();
        let ticks = u64::try_from(span.as_millis() / TICK.as_millis()).unwrap_or(u64::MAX);
        let until = self.clock.load(Relaxed).saturating_add(ticks);
        self.cell.excused_until.store(until, Relaxed);
    }

    /// Another deadline from now on.
    #[cfg(feature = "cli")]
    pub(crate) fn set_deadline(&self, deadline: Duration) {
        self.cell.deadline_ms.store(milliseconds(deadline), Relaxed);
    }

    /// Nothing is due until the next [`Pulse::pulse`].
    #[cfg(feature = "cli")]
    pub(crate) fn rest(&self) {
        self.cell.rest();
        self.cell.excused_until.store(0, Relaxed);
    }

    /// Starts the time if it does not run yet.
    #[cfg(feature = "cli")]
    pub(crate) fn arm(&self) {
        let now = self.clock.load(Relaxed);
        // Lost: somebody else armed it just now, which is as good.
        let _ = self
            .cell
            .last
            .compare_exchange(DISARMED, now, Relaxed, Relaxed);
    }
}

/// While it lives, its pulse may be late. See [`Pulse::expect`].
#[derive(Debug)]
pub struct Excuse {
    pulse: Pulse,
    before: u64,
}

impl Drop for Excuse {
    fn drop(&mut self) {
        self.pulse.cell.excused_until.store(self.before, Relaxed);
        self.pulse.pulse();
    }
}

/// All pulses of a process.
#[derive(Debug, Default)]
pub(crate) struct Pulses {
    clock: Arc<AtomicU64>,
    cells: Mutex<Vec<Weak<Cell>>>,
}

impl Pulses {
    fn cells(&self) -> MutexGuard<'_, Vec<Weak<Cell>>> {
        self.cells.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new pulse that is judged from its first [`Pulse::pulse`] on.
    pub(crate) fn register(&self, name: &str, reason: &'static str, deadline: Duration) -> Pulse {
        self.insert(name, reason, deadline, None)
    }

    /// The same; when it is late, `handler` is called and the pulse rests.
    #[cfg(feature = "cli")]
    pub(crate) fn register_handled(
        &self,
        name: &str,
        reason: &'static str,
        deadline: Duration,
        handler: Handler,
    ) -> Pulse {
        self.insert(name, reason, deadline, Some(handler))
    }

    fn insert(
        &self,
        name: &str,
        reason: &'static str,
        deadline: Duration,
        handler: Option<Handler>,
    ) -> Pulse {
        let cell = Arc::new(Cell {
            name: name.to_owned(),
            reason,
            handler,
            deadline_ms: AtomicU64::new(milliseconds(deadline)),
            last: AtomicU64::new(DISARMED),
            excused_until: AtomicU64::new(0),
        });
        let mut cells = self.cells();
        cells.retain(|cell| cell.strong_count() > 0);
        if cells.len() < PULSES_MAX {
            cells.push(Arc::downgrade(&cell));
        } else {
            crate::apoptosis::write(&format!(
                "{PULSES_MAX} pulses exist already; {name} is not judged\n"
            ));
        }
        Pulse {
            cell,
            clock: Arc::clone(&self.clock),
        }
    }

    /// Notes the watchdog's newest tick.
    pub(crate) fn set_clock(&self, tick: u64) {
        self.clock.store(tick, Relaxed);
    }

    /// Calls `see` for every pulse that is to be judged.
    pub(crate) fn each(&self, mut see: impl FnMut(&Arc<Cell>, &Reading)) {
        let mut cells = self.cells();
        cells.retain(|cell| cell.strong_count() > 0);
        for cell in cells.iter().filter_map(Weak::upgrade) {
            if let Some(reading) = cell.read() {
                see(&cell, &reading);
            }
        }
    }

    /// The age of the oldest pulse, in the watchdog's coarse time.
    #[cfg(feature = "group")]
    pub(crate) fn oldest(&self) -> Duration {
        let now = self.clock.load(Relaxed);
        let mut ticks = 0;
        self.each(|_, reading| ticks = ticks.max(now.saturating_sub(reading.last)));
        TICK.saturating_mul(u32::try_from(ticks).unwrap_or(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pulse_is_judged_from_its_first_sign_until_its_drop() {
        let pulses = Pulses::default();
        let pulse = pulses.register("work", "pulse", Duration::from_secs(1));
        let count = |pulses: &Pulses| {
            let mut seen = 0;
            pulses.each(|_, _| seen += 1);
            seen
        };
        assert_eq!(count(&pulses), 0);
        pulse.pulse();
        assert_eq!(count(&pulses), 1);
        pulse.rest();
        assert_eq!(count(&pulses), 0);
        pulse.pulse();
        drop(pulse);
        assert_eq!(count(&pulses), 0);
    }

    #[test]
    #[cfg(feature = "group")]
    fn age_counts_ticks() {
        let pulses = Pulses::default();
        let pulse = pulses.register("work", "pulse", Duration::from_secs(1));
        pulse.pulse();
        pulses.set_clock(5);
        assert_eq!(pulses.oldest(), TICK * 5);
        pulse.pulse();
        assert_eq!(pulses.oldest(), Duration::ZERO);
    }

    #[test]
    fn an_excuse_ends_with_its_guard() {
        let pulses = Pulses::default();
        let pulse = pulses.register("work", "pulse", Duration::from_secs(1));
        let until = |pulses: &Pulses| {
            let mut found = 0;
            pulses.each(|_, reading| found = reading.excused_until);
            found
        };
        let outer = pulse.expect(Duration::from_secs(60));
        let inner = pulse.expect(Duration::from_secs(10));
        assert_eq!(until(&pulses), 300, "the longer excuse holds");
        drop(inner);
        assert_eq!(until(&pulses), 300);
        drop(outer);
        assert_eq!(until(&pulses), 0);
    }
}
