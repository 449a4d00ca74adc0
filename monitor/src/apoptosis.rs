//! The orderly end of a process that hangs: last words, then the end, whatever hangs.

use crate::sys;
use planaria_core::message::LastWords;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Mutex, PoisonError, mpsc};
use std::time::Duration;

/// The exit code that says apoptosis: `EX_SOFTWARE` of sysexits.h.
pub(crate) const EXIT_CODE: u8 = 70;

/// The broker gets so long to take the last words; a healthy one needs a millisecond.
const LAST_WORDS_WAIT: Duration = Duration::from_millis(200);
/// Between SIGABRT and SIGKILL: time for a core or a backtrace.
const ABORT_GRACE: Duration = Duration::from_secs(1);
/// Whatever hangs on the way (standard error into a full pipe), the process ends after this.
const END_AT_LATEST: Duration = Duration::from_secs(3);
/// Threads that are named on standard error at most.
const THREADS_SHOWN: usize = 64;

/// Publishes last words; the sender is answered when the broker has them.
pub(crate) type Speaker = Box<dyn Fn(LastWords, mpsc::SyncSender<()>) + Send>;

/// How this process ends itself.
pub(crate) struct Apoptosis {
    exit_code: u8,
    /// The wrapped child, 0 where there is none.
    child: AtomicI32,
    speaker: Mutex<Option<Speaker>>,
    ending: AtomicBool,
}

impl Apoptosis {
    pub(crate) fn new(exit_code: u8) -> Self {
        Self {
            exit_code,
            child: AtomicI32::new(0),
            speaker: Mutex::new(None),
            ending: AtomicBool::new(false),
        }
    }

    /// The child that ends first.
    pub(crate) fn set_child(&self, pid: i32) {
        self.child.store(pid, Ordering::SeqCst);
    }

    pub(crate) fn set_speaker(&self, speaker: Speaker) {
        *self.speaker.lock().unwrap_or_else(PoisonError::into_inner) = Some(speaker);
    }

    /// Whether the end has begun: a child that dies now dies by our hand.
    pub(crate) fn is_ending(&self) -> bool {
        self.ending.load(Ordering::SeqCst)
    }

    /// Ends the process. Standard error gets names and threads, the broker names and reasons only.
    pub(crate) fn end(&self, words: &LastWords) -> ! {
        let code = i32::from(self.exit_code);
        self.ending.store(true, Ordering::SeqCst);
        // Should this thread get stuck, another one ends the process; without one we take the risk.
        let _ = std::thread::Builder::new()
            .name("apoptosis".into())
            .stack_size(64 * 1024)
            .spawn(move || {
                std::thread::sleep(END_AT_LATEST);
                sys::exit_now(code);
            });
        let (done, taken) = mpsc::sync_channel(1);
        if let Some(speaker) = &*self.speaker.lock().unwrap_or_else(PoisonError::into_inner) {
            speaker(words.clone(), done);
        }
        let report = report(words, self.exit_code, &threads());
        let _ = rustix::io::write(rustix::stdio::stderr(), report.as_bytes());
        // A dropped sender answers at once as well: there is no broker then.
        let _ = taken.recv_timeout(LAST_WORDS_WAIT);
        self.end_child();
        sys::exit_now(code)
    }

    fn end_child(&self) {
        let Some(child) = rustix::process::Pid::from_raw(self.child.load(Ordering::SeqCst)) else {
            return;
        };
        // A stopped process does not take SIGABRT; SIGKILL ends that one too.
        if rustix::process::kill_process(child, rustix::process::Signal::ABORT).is_ok() {
            let step = Duration::from_millis(20);
            let mut waited = Duration::ZERO;
            while waited < ABORT_GRACE && rustix::process::test_kill_process(child).is_ok() {
                std::thread::sleep(step);
                waited += step;
            }
        }
        let _ = rustix::process::kill_process(child, rustix::process::Signal::KILL);
        // What it started goes with it: as first process of a container we take all along, elsewhere not.
        let _ = rustix::process::kill_process_group(child, rustix::process::Signal::KILL);
    }
}

fn report(words: &LastWords, exit_code: u8, threads: &str) -> String {
    let mut text = match words.reason.as_str() {
        "stopped" => format!(
            "Apoptosis: the child is stopped (state T) and was not continued for {} ms beyond its deadline.",
            words.late_ms
        ),
        "probe" => format!("Apoptosis: the probe {} failed.", words.pulse),
        _ => format!(
            "Apoptosis: the pulse \"{}\" is {} ms beyond its deadline.",
            words.pulse, words.late_ms
        ),
    };
    let _ = writeln!(text, " Exit code {exit_code}.");
    text.push_str(threads);
    text
}

/// Name and state letter of this process's threads.
fn threads() -> String {
    let mut text = String::new();
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else {
        return text;
    };
    for task in tasks.flatten().take(THREADS_SHOWN) {
        let stat = std::fs::read_to_string(task.path().join("stat")).unwrap_or_default();
        if let Some((name, state)) = name_and_state(&stat) {
            let _ = writeln!(text, "  thread {name}: {state}");
        }
    }
    text
}

/// Of `/proc/…/stat`: the name stands in parentheses and may hold any character, so the last one closes it.
pub(crate) fn name_and_state(stat: &str) -> Option<(&str, char)> {
    let name = stat.get(stat.find('(')? + 1..stat.rfind(')')?)?;
    let state = stat.get(stat.rfind(')')? + 1..)?.trim_start();
    Some((name, state.chars().next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_names_the_pulse_and_the_code() {
        let words = LastWords {
            pulse: "replicator".into(),
            late_ms: 400,
            reason: "pulse".into(),
        };
        let text = report(&words, 70, "");
        assert!(text.contains("replicator") && text.contains("400 ms") && text.contains("70"));
    }

    #[test]
    fn a_thread_may_be_named_anything() {
        assert_eq!(name_and_state("12 (a) b (c) R 1 2"), Some(("a) b (c", 'R')));
        assert_eq!(name_and_state("12 (a"), None);
        assert_eq!(name_and_state(""), None);
    }
}
