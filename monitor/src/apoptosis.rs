//! The orderly end of a process that hangs: last words, then the end, whatever hangs.

use crate::sys;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;

/// The exit code that says apoptosis: `EX_SOFTWARE` of sysexits.h.
pub(crate) const EXIT_CODE: u8 = 70;

/// The broker gets so long to take the last words; a healthy one needs a millisecond.
const LAST_WORDS_WAIT: Duration = Duration::from_millis(200);
/// Whatever hangs on the way (standard error into a full pipe), the process ends after this.
const END_AT_LATEST: Duration = Duration::from_secs(3);
/// Standard error that takes nothing for so long is a full pipe that nobody reads.
const WRITE_WAIT_MS: i64 = 200;
/// Threads that are named on standard error at most.
const THREADS_SHOWN: usize = 64;

/// Why a process or its child is ended.
#[derive(Clone, Debug)]
pub(crate) struct Words {
    /// Which pulse or probe.
    pub(crate) pulse: String,
    pub(crate) late_ms: u64,
    pub(crate) reason: &'static str,
}

/// Publishes last words; the sender is answered (or dropped) when they are out.
pub(crate) type Speaker = Box<dyn Fn(&Words, mpsc::SyncSender<()>) + Send>;
/// What else ends with this process.
pub(crate) type Undertaker = Box<dyn Fn() + Send>;

/// How this process ends itself.
pub(crate) struct Apoptosis {
    exit_code: u8,
    speaker: Mutex<Option<Speaker>>,
    undertaker: Mutex<Option<Undertaker>>,
    ending: AtomicBool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Apoptosis {
    pub(crate) fn new(exit_code: u8) -> Self {
        Self {
            exit_code,
            speaker: Mutex::new(None),
            undertaker: Mutex::new(None),
            ending: AtomicBool::new(false),
        }
    }

    /// Who tells the group.
    #[cfg(feature = "group")]
    pub(crate) fn set_speaker(&self, speaker: Speaker) {
        *lock(&self.speaker) = Some(speaker);
    }

    /// Who ends the child first.
    #[cfg(feature = "cli")]
    pub(crate) fn set_undertaker(&self, undertaker: Undertaker) {
        *lock(&self.undertaker) = Some(undertaker);
    }

    /// Whether the end has begun: a child that dies now dies by our hand.
    #[cfg(feature = "cli")]
    pub(crate) fn is_ending(&self) -> bool {
        self.ending.load(Ordering::SeqCst)
    }

    #[cfg(feature = "cli")]
    pub(crate) fn exit_code(&self) -> u8 {
        self.exit_code
    }

    /// Tells the group and standard error, and goes on. Standard error gets names and threads, the broker names and
    /// reasons only.
    pub(crate) fn say(&self, words: &Words, report: &str) {
        let (done, taken) = mpsc::sync_channel(1);
        if let Some(speaker) = &*lock(&self.speaker) {
            speaker(words, done);
        } else {
            drop(done);
        }
        write(report);
        // A dropped sender answers at once as well: there is no broker then.
        let _ = taken.recv_timeout(LAST_WORDS_WAIT);
    }

    /// Ends the process.
    pub(crate) fn end(&self, words: &Words) -> ! {
        let code = i32::from(self.exit_code);
        if self.ending.swap(true, Ordering::SeqCst) {
            // Another thread is at it already.
            loop {
                std::thread::park();
            }
        }
        // Should this thread get stuck, another one ends the process; without one we take the risk.
        let _ = std::thread::Builder::new()
            .name("apoptosis".into())
            .stack_size(64 * 1024)
            .spawn(move || {
                std::thread::sleep(END_AT_LATEST);
                sys::exit_now(code);
            });
        let ends = format!("Exit code {}.", self.exit_code);
        self.say(words, &format!("{}{}", report(words, &ends), threads()));
        if let Some(undertaker) = &*lock(&self.undertaker) {
            undertaker();
        }
        sys::exit_now(code)
    }
}

/// Writes to standard error, unless nobody takes it.
pub(crate) fn write(text: &str) {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let stderr = rustix::stdio::stderr();
    let wait = Timespec {
        tv_sec: 0,
        tv_nsec: WRITE_WAIT_MS * 1_000_000,
    };
    let mut ready = [PollFd::new(&stderr, PollFlags::OUT)];
    if poll(&mut ready, Some(&wait)).is_ok_and(|count| count > 0) {
        // What cannot be said any more is not said.
        let _ = rustix::io::write(stderr, text.as_bytes());
    }
}

/// One sentence, with what follows from it.
pub(crate) fn report(words: &Words, ends: &str) -> String {
    let text = match words.reason {
        "stopped" => format!(
            "Apoptosis: the child is stopped (state T) and was not continued for {} ms beyond its deadline.",
            words.late_ms
        ),
        "probe" => format!("Apoptosis: the probe {} failed.", words.pulse),
        "trigger" => "Apoptosis: the program asked for it (WATCHDOG=trigger).".into(),
        _ => format!(
            "Apoptosis: the pulse \"{}\" is {} ms beyond its deadline.",
            words.pulse, words.late_ms
        ),
    };
    format!("{text} {ends}\n")
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
        let words = Words {
            pulse: "replicator".into(),
            late_ms: 400,
            reason: "pulse",
        };
        let text = report(&words, "Exit code 70.");
        assert!(text.contains("replicator") && text.contains("400 ms") && text.contains("70"));
    }

    #[test]
    fn a_thread_may_be_named_anything() {
        assert_eq!(name_and_state("12 (a) b (c) R 1 2"), Some(("a) b (c", 'R')));
        assert_eq!(name_and_state("12 (a"), None);
        assert_eq!(name_and_state(""), None);
    }
}
