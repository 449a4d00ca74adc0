//! The helper: a container of our own in the target's network or process namespace that does one fault,
//! measures that it is there, and takes it back after its time, on SIGTERM, or when asked anew.
//!
//! It outlives the monkey. Should it be killed itself, packet rules end by the kernel's clock
//! (`--match time`), held packets go on (`--queue-bypass`), and what is left is taken back by the next
//! monkey from the ledger with a second helper ([`Task::revert`]).
//!
//! - [`filter`]: rules of the packet filter; [`packets`]: packets held and changed; [`ping`]: measuring.
//! - [`probe`]: what this kernel permits.
//! - [`pressure`]: memory, disk, files, descriptors, a frozen process.

pub mod filter;
pub mod packets;
pub mod ping;
pub mod pressure;
pub mod probe;

use crate::fault::{Dose, Fault};
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

/// How often a waiting helper looks whether it is to end.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What a helper is told, as JSON on its command line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Task {
    /// The attack's id; rules and files carry it.
    pub attack: String,
    /// What is done.
    pub fault: Fault,
    /// How much of it.
    pub dose: Dose,
    /// After so many seconds it takes the fault back by itself.
    pub ttl_s: u64,
    /// Only find out what is needed to undo it, and change nothing: that is written down before it is done.
    #[serde(default)]
    pub look: bool,
    /// Only take back what another helper left behind.
    #[serde(default)]
    pub revert: bool,
    /// What that helper had written down, or a look had found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub saved: Option<String>,
}

/// A line of a helper's output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "helper", rename_all = "snake_case")]
pub enum Line {
    /// What is needed to undo it.
    Saved {
        /// In words of the fault's own.
        saved: String,
    },
    /// It is there, and this was measured.
    Took {
        /// In a sentence.
        proof: String,
    },
    /// It could not be done.
    Failed {
        /// Why.
        why: String,
    },
    /// It was taken back.
    Reverted,
}

/// Something that was done and can be taken back. Taking back twice is harmless.
pub trait Deed {
    /// Measures whether it is there.
    ///
    /// # Errors
    /// A sentence: what was measured instead.
    fn prove(&mut self) -> Result<String, String>;
    /// Takes it back.
    ///
    /// # Errors
    /// A sentence: what is left.
    fn revert(&mut self) -> Result<(), String>;
}

/// Does the task; returns when it is taken back. True: nothing is left behind.
#[must_use]
pub fn run(task: &Task) -> bool {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
        if let Err(error) = signal_hook::flag::register(signal, Arc::clone(&stop)) {
            say(&Line::Failed {
                why: format!("signals cannot be caught: {error}"),
            });
            return true;
        }
    }
    if task.revert {
        return taken_back(leftovers(task));
    }
    if task.look {
        let found = look(task);
        let (line, good) = match found {
            Ok(saved) => (Line::Saved { saved }, true),
            Err(why) => (Line::Failed { why }, false),
        };
        say(&line);
        return good;
    }
    let until = Instant::now() + Duration::from_secs(task.ttl_s);
    let mut deed = match begin(task) {
        Ok(deed) => deed,
        Err(why) => {
            say(&Line::Failed { why });
            return taken_back(leftovers(task));
        }
    };
    match deed.prove() {
        Ok(proof) => say(&Line::Took { proof }),
        Err(why) => say(&Line::Failed { why }),
    }
    while !stop.load(Ordering::Relaxed) && Instant::now() < until {
        std::thread::sleep(LOOK_EVERY);
    }
    taken_back(deed.revert())
}

fn taken_back(result: Result<(), String>) -> bool {
    match result {
        Ok(()) => {
            say(&Line::Reverted);
            true
        }
        Err(why) => {
            say(&Line::Failed { why });
            false
        }
    }
}

/// One JSON object on a line; whoever reads it may be gone.
fn say(line: &Line) {
    let text = serde_json::to_string(line).unwrap_or_default();
    let mut out = std::io::stdout().lock();
    drop(writeln!(out, "{text}").and_then(|()| out.flush()));
}

fn look(task: &Task) -> Result<String, String> {
    match task.fault {
        Fault::BitRot => pressure::Rot::look(task),
        other => Err(format!("{other} has nothing to be looked for")),
    }
}

fn begin(task: &Task) -> Result<Box<dyn Deed>, String> {
    Ok(match task.fault {
        Fault::Latency | Fault::Jitter | Fault::Rate | Fault::Corrupt | Fault::Reorder => {
            Box::new(packets::Held::begin(task)?)
        }
        Fault::Loss | Fault::Partition | Fault::Reject | Fault::Dns => {
            Box::new(filter::Filter::begin(task)?)
        }
        Fault::Memory | Fault::Oom => Box::new(pressure::Eater::begin(task)?),
        Fault::DiskFull => Box::new(pressure::Ballast::begin(task)?),
        Fault::Io => Box::new(pressure::Busy::begin(task)?),
        Fault::Descriptors => Box::new(pressure::Descriptors::begin(task)?),
        Fault::Freeze => Box::new(pressure::Frozen::begin(task)?),
        Fault::BitRot => Box::new(pressure::Rot::begin(task)?),
        other => return Err(format!("{other} needs no helper")),
    })
}

/// Takes back what a helper for the same task may have left.
fn leftovers(task: &Task) -> Result<(), String> {
    match task.fault {
        Fault::DiskFull => pressure::Ballast::clear(task),
        Fault::Io => pressure::Busy::clear(task),
        Fault::Descriptors => pressure::Descriptors::restore(task.saved.as_deref()),
        Fault::Freeze => pressure::Frozen::thaw(task.saved.as_deref()),
        Fault::BitRot => pressure::Rot::mend(task.saved.as_deref()),
        // Memory went with the helper that held it; the limit stays with the container's life.
        Fault::Memory => Ok(()),
        Fault::Oom => pressure::Eater::restore(task.saved.as_deref()),
        _ => filter::clear(&task.attack),
    }
}

/// The lock of a mutex whose holder cannot have left it half changed.
pub(crate) fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
