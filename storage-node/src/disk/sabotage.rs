//! Breaks one rule on purpose, so that the proof is known to see it: a chunk is acknowledged when it has arrived,
//! and written a good while later.

use super::writer::Job;
use std::io;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

/// For so long acknowledged bytes are in memory only. A kill takes what is in memory, never what the kernel was
/// given to write, so this has to be longer than killing all nodes takes.
const LATE: Duration = Duration::from_secs(2);

/// Answers each job as it comes; what is returned gets it [`LATE`] later, and nobody waits behind it.
pub(super) fn answered_first(jobs: Receiver<Job>) -> io::Result<Receiver<Job>> {
    let (answered, waiting) = channel();
    let (due, late) = channel();
    thread::Builder::new()
        .name("sabotage-answer".to_owned())
        .spawn(move || {
            for job in jobs {
                if answered.send((Instant::now(), job.answered())).is_err() {
                    break;
                }
            }
        })?;
    thread::Builder::new()
        .name("sabotage-wait".to_owned())
        .spawn(move || {
            for (since, job) in waiting {
                thread::sleep(LATE.saturating_sub(since.elapsed()));
                if due.send(job).is_err() {
                    break;
                }
            }
        })?;
    Ok(late)
}
