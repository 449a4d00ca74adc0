//! The watchdog: an OS thread of its own, without runtime or broker.

use crate::apoptosis::Apoptosis;
use crate::pulse::{Pulses, TICK};
use planaria_core::message::LastWords;
use planaria_core::watchdog::Judge;
use std::sync::{Arc, Weak};

/// Its stack: it formats one sentence and reads a few files of /proc.
const STACK: usize = 128 * 1024;

/// Starts the thread. It ends when the pulses are dropped.
pub(crate) fn start(pulses: &Arc<Pulses>, apoptosis: Arc<Apoptosis>) -> std::io::Result<()> {
    let pulses = Arc::downgrade(pulses);
    std::thread::Builder::new()
        .name("watchdog".into())
        .stack_size(STACK)
        .spawn(move || watch(&pulses, &apoptosis))?;
    Ok(())
}

fn watch(pulses: &Weak<Pulses>, apoptosis: &Apoptosis) {
    let mut judge = Judge::new(TICK);
    loop {
        std::thread::sleep(TICK);
        let Some(pulses) = pulses.upgrade() else {
            return;
        };
        let tick = judge.advance();
        let mut worst: Option<LastWords> = None;
        pulses.each(|cell, reading| {
            let late = judge.late(reading.last, cell.deadline, reading.excused_until);
            let Some(late) = late else { return };
            let late_ms = u64::try_from(late.as_millis()).unwrap_or(u64::MAX);
            if worst.as_ref().is_none_or(|other| other.late_ms < late_ms) {
                worst = Some(LastWords {
                    pulse: cell.name.clone(),
                    late_ms,
                    reason: cell.reason.to_owned(),
                });
            }
        });
        // Only now: a pulse that comes after the judgement notes the new tick.
        pulses.set_clock(tick);
        if let Some(words) = worst {
            apoptosis.end(&words);
        }
    }
}
