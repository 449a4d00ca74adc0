//! Asks the probes, each on a thread of its own, and counts what they answer.

use super::child::Life;
use super::command::Launch;
use super::probe::{Duty, Probe, Timed, Timing, ask};
use crate::apoptosis::Words;
use crate::monitor::Monitor;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A probe's thread opens a socket or starts a program, no more.
const STACK: usize = 128 * 1024;
/// How often is looked whether a new life began, or the startup probe passed.
const GLANCE: Duration = Duration::from_millis(50);

/// Which startup probes have passed in this life: a bit for each.
#[derive(Debug, Default)]
pub(super) struct Gate {
    all: AtomicU64,
    passed: AtomicU64,
}

impl Gate {
    /// More than this many startup probes are refused by the command line.
    pub(super) const PROBES_MAX: usize = 32;

    fn is_open(&self) -> bool {
        self.passed.load(SeqCst) == self.all.load(SeqCst)
    }

    pub(super) fn reset(&self) {
        self.passed.store(0, SeqCst);
    }
}

/// What follows from one more answer.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Unchanged,
    Passed,
    /// The threshold is reached: the program is to be ended, or is unready.
    Failed,
}

/// Counts answers in a row.
struct Judge {
    timing: Timing,
    begun: Instant,
    succeeded: bool,
    successes: u32,
    failures: u32,
    since: Option<Instant>,
}

impl Judge {
    fn new(timing: Timing, begun: Instant) -> Self {
        Self {
            timing,
            begun,
            succeeded: false,
            successes: 0,
            failures: 0,
            since: None,
        }
    }

    fn take(&mut self, good: bool, now: Instant) -> Verdict {
        if good {
            self.failures = 0;
            self.since = None;
            self.successes = self.successes.saturating_add(1);
            if self.successes < self.timing.success_threshold {
                return Verdict::Unchanged;
            }
            self.succeeded = true;
            return Verdict::Passed;
        }
        self.successes = 0;
        if !self.succeeded && now.duration_since(self.begun) < self.timing.start_period {
            return Verdict::Unchanged;
        }
        self.failures = self.failures.saturating_add(1);
        self.since.get_or_insert(now);
        if self.failures < self.timing.failure_threshold {
            return Verdict::Unchanged;
        }
        Verdict::Failed
    }
}

/// A probe as `/readyz` shows it.
struct Shown {
    well: AtomicBool,
    reason: Mutex<String>,
}

impl Shown {
    fn set(&self, well: bool, reason: &str) {
        reason.clone_into(&mut self.reason.lock().unwrap_or_else(PoisonError::into_inner));
        self.well.store(well, SeqCst);
    }
}

struct Asker {
    timed: Timed,
    duty: Duty,
    /// This probe's bit of the gate; 0 for those that wait at it.
    bit: u64,
    gate: Arc<Gate>,
    life: Arc<Life>,
    launch: Arc<Launch>,
    shown: Arc<Shown>,
}

/// Asks for as long as this process lives, in each life of the program anew.
pub(super) fn start(
    timed: Timed,
    duty: Duty,
    monitor: &Monitor,
    life: &Arc<Life>,
    launch: &Arc<Launch>,
    gate: &Arc<Gate>,
) -> std::io::Result<()> {
    let bit = match duty {
        Duty::Startup => {
            let bit = 1 << gate.all.load(SeqCst).count_ones();
            gate.all.fetch_or(bit, SeqCst);
            bit
        }
        Duty::Readiness | Duty::Liveness | Duty::Both => 0,
    };
    let shown = Arc::new(Shown {
        well: AtomicBool::new(false),
        reason: Mutex::new("not asked yet".into()),
    });
    if duty.is_shown() {
        let seen = Arc::clone(&shown);
        monitor.add_readiness(&format!("{} {}", duty.as_str(), timed.probe), move || {
            if seen.well.load(SeqCst) {
                return Ok(());
            }
            Err(seen
                .reason
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone())
        });
    }
    let asker = Asker {
        timed,
        duty,
        bit,
        gate: Arc::clone(gate),
        life: Arc::clone(life),
        launch: Arc::clone(launch),
        shown,
    };
    std::thread::Builder::new()
        .name(duty.as_str().into())
        .stack_size(STACK)
        .spawn(move || {
            loop {
                asker.attend(asker.life.number());
            }
        })
        .map(drop)
}

impl Asker {
    /// Asks through one life of the program.
    fn attend(&self, number: u64) {
        let timing = self.timed.timing;
        self.shown.set(false, "not asked yet");
        while self.bit == 0 && !self.gate.is_open() {
            if self.is_over(number) {
                return;
            }
            std::thread::sleep(GLANCE);
        }
        if number == 0 || !self.wait(number, timing.initial_delay) {
            return std::thread::sleep(GLANCE.min(timing.period));
        }
        let mut judge = Judge::new(timing, Instant::now());
        loop {
            let answer = self.ask();
            if self.is_over(number) {
                return;
            }
            // Whoever is stopping closes its ports first.
            if self.life.is_stopping() {
                self.shown.set(false, "the program is stopping");
            } else if self.judge(number, &mut judge, &answer) {
                self.gate.passed.fetch_or(self.bit, SeqCst);
                while !self.is_over(number) {
                    std::thread::sleep(GLANCE);
                }
                return;
            }
            if !self.wait(number, timing.period) {
                return;
            }
        }
    }

    /// True when a startup probe has passed and need not be asked again.
    fn judge(&self, number: u64, judge: &mut Judge, answer: &Result<(), String>) -> bool {
        match (judge.take(answer.is_ok(), Instant::now()), answer) {
            (Verdict::Passed, _) => {
                self.shown.set(true, "");
                return self.duty == Duty::Startup;
            }
            (Verdict::Failed, Err(error)) => {
                self.shown.set(false, error);
                if self.duty.ends() {
                    self.fail(number, judge, error);
                }
            }
            (_, Err(error)) if self.duty == Duty::Both || !judge.succeeded => {
                self.shown.set(false, error);
            }
            _ => {}
        }
        false
    }

    fn fail(&self, number: u64, judge: &Judge, error: &str) {
        let probe = &self.timed.probe;
        tracing::error!(
            event = "probe_failed",
            "The {} probe {probe} failed {} times in a row: {error}",
            self.duty.as_str(),
            judge.failures
        );
        let late = judge.since.map_or(Duration::ZERO, |since| since.elapsed());
        self.life.failed(
            number,
            &Words {
                pulse: probe.to_string(),
                late_ms: u64::try_from(late.as_millis()).unwrap_or(u64::MAX),
                reason: "probe",
            },
        );
    }

    fn is_over(&self, number: u64) -> bool {
        self.life.number() != number
    }

    /// Sleeps; false when the life ended meanwhile.
    fn wait(&self, number: u64, span: Duration) -> bool {
        let begin = Instant::now();
        loop {
            if self.is_over(number) {
                return false;
            }
            let left = span.saturating_sub(begin.elapsed());
            if left.is_zero() {
                return true;
            }
            std::thread::sleep(left.min(GLANCE * 4));
        }
    }

    fn ask(&self) -> Result<(), String> {
        let within = self.timed.timing.timeout;
        let Probe::Exec(words) = &self.timed.probe else {
            return ask(&self.timed.probe, within);
        };
        let mut command = self.launch.probe(words);
        match self.life.reaper.run(&mut command, within) {
            Ok(Some(status)) => match (status.exit_status(), status.terminating_signal()) {
                (Some(0), _) => Ok(()),
                (Some(code), _) => Err(format!("it ended with {code}")),
                (None, signal) => Err(format!("it was ended by signal {}", signal.unwrap_or(0))),
            },
            Ok(None) => Err("it did not end in time".into()),
            Err(error) => Err(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timing(failures: u32, successes: u32, start_period: u64) -> Timing {
        Timing {
            failure_threshold: failures,
            success_threshold: successes,
            start_period: Duration::from_secs(start_period),
            ..Timing::default()
        }
    }

    #[test]
    fn failures_count_in_a_row_and_after_the_start_period() {
        let begun = Instant::now();
        let mut judge = Judge::new(timing(2, 1, 60), begun);
        assert_eq!(judge.take(false, begun), Verdict::Unchanged);
        assert_eq!(
            judge.take(false, begun),
            Verdict::Unchanged,
            "the start period lasts"
        );
        assert_eq!(judge.take(true, begun), Verdict::Passed);
        assert_eq!(judge.take(false, begun), Verdict::Unchanged, "one failure");
        assert_eq!(judge.take(true, begun), Verdict::Passed);
        assert_eq!(
            judge.take(false, begun),
            Verdict::Unchanged,
            "a success ended the row"
        );
        assert_eq!(judge.take(false, begun), Verdict::Failed, "two in a row");
    }

    #[test]
    fn successes_count_in_a_row_too() {
        let begun = Instant::now();
        let mut judge = Judge::new(timing(1, 2, 0), begun);
        assert_eq!(judge.take(true, begun), Verdict::Unchanged);
        assert_eq!(judge.take(false, begun), Verdict::Failed);
        assert_eq!(judge.take(true, begun), Verdict::Unchanged);
        assert_eq!(judge.take(true, begun), Verdict::Passed);
    }
}
