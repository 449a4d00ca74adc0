//! The watchdog: an OS thread of its own, without runtime or broker.

use crate::apoptosis::{Apoptosis, Words};
use crate::pulse::{Pulses, TICK};
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
        let mut late = Vec::new();
        pulses.each(|cell, reading| {
            let by = judge.late(reading.last, cell.deadline(), reading.excused_until);
            let Some(by) = by else { return };
            let words = Words {
                pulse: cell.name.clone(),
                late_ms: u64::try_from(by.as_millis()).unwrap_or(u64::MAX),
                reason: cell.reason,
            };
            late.push((Arc::clone(cell), words));
        });
        // Only now: a pulse that comes after the judgement notes the new tick.
        pulses.set_clock(tick);
        let ours = late.iter().filter(|(cell, _)| cell.handler.is_none());
        if let Some((_, words)) = ours.max_by_key(|(_, words)| words.late_ms) {
            apoptosis.end(words);
        }
        for (cell, words) in late {
            cell.rest();
            if let Some(handler) = &cell.handler {
                handler(&words);
            }
        }
    }
}
