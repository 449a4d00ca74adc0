//! `monitor run`: the first process of a container, around a program that knows nothing of us.
//!
//! It forwards signals, reaps, passes the exit code on, and is the watchdog that a stopped program
//! cannot be for itself.
//!
//! Map: `command` how the program is started · `child` its present life and its end · `signals`, `reap` what tini
//! does · `notice`, `notify` sd_notify's other end · `probe`, `asking` the probes · `tail`, `postmortem` the evidence ·
//! `respawn` OTP's intensity · `env_file`, `user` what the options say.

mod asking;
mod child;
mod command;
mod env_file;
mod notice;
mod notify;
mod postmortem;
mod probe;
mod reap;
mod respawn;
mod signals;
mod tail;
mod user;

pub(crate) use probe::{Duty, Probe, Timed, Timing, ask};
pub(crate) use respawn::{Kind, Respawn};
pub(crate) use signals::{Rewrite, Signal};

use crate::group::Config;
use crate::monitor::Monitor;
use crate::pulse::Pulse;
use crate::sys::{self, SignalSet};
use asking::Gate;
use child::Life;
use command::Launch;
use notify::Hearing;
use reap::Reaper;
use respawn::Intensity;
use rustix::process::{DumpableBehavior, WaitStatus};
use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What `run` is told.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) command: Vec<OsString>,
    pub(crate) probes: Vec<(Duty, Timed)>,
    /// How late a pulse may be, and how long the program may be stopped.
    pub(crate) deadline: Duration,
    pub(crate) user: Option<String>,
    pub(crate) env_files: Vec<PathBuf>,
    /// Between a request to end and SIGKILL; none is "for ever", the engine has a grace of its own.
    pub(crate) grace: Option<Duration>,
    /// Signals go to the whole process group.
    pub(crate) group: bool,
    pub(crate) rewrites: Vec<Rewrite>,
    /// What we get when our own parent dies.
    pub(crate) parent_death: Option<Signal>,
    /// Codes that are turned into 0.
    pub(crate) successes: Vec<u8>,
    pub(crate) respawn: Option<Respawn>,
    /// Lines of output that are kept for a post-mortem; 0 leaves the outputs to the program.
    pub(crate) last_lines: usize,
}

/// The shell's: found, but cannot be run.
const CANNOT_RUN: u8 = 126;
/// The shell's: not found.
const NOT_FOUND: u8 = 127;
/// The shell's: killed by the signal that is added.
const SIGNALLED: i32 = 128;
/// Nothing is due; any signal wakes us before.
const IDLE: Duration = Duration::from_secs(3600);
/// After so long without a signal code that is not used can go: once after the start, and once more when also what
/// comes only every few seconds has had its first time.
const SETTLED: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(8)];

/// Runs the program to its end; the exit code is the program's.
pub(crate) fn run(config: Config, options: &Options) -> u8 {
    let end = start(config, options).and_then(|mut running| running.serve());
    match end {
        Ok(code) => code,
        Err(Failure::Command(error)) => {
            let name = options.command.first().cloned().unwrap_or_default();
            eprintln!("monitor: {}: {error}", name.to_string_lossy());
            match error.kind() {
                io::ErrorKind::NotFound => NOT_FOUND,
                _ => CANNOT_RUN,
            }
        }
        Err(Failure::Own(reason)) => {
            eprintln!("monitor: {reason}");
            1
        }
    }
}

enum Failure {
    Command(io::Error),
    Own(String),
}

fn own(what: &'static str) -> impl FnOnce(io::Error) -> Failure {
    move |error| Failure::Own(format!("{what}: {error}"))
}

/// The program and what watches it.
struct Running {
    monitor: Monitor,
    signals: SignalSet,
    table: signals::Table,
    group: bool,
    grace: Option<Duration>,
    /// SIGKILL is due.
    kill_at: Option<Instant>,
    asked_to_end: bool,
    asked_to_stop: bool,
    successes: Vec<u8>,
    intensity: Option<Intensity>,
    launch: Arc<Launch>,
    notify_name: String,
    deadline: Duration,
    life: Arc<Life>,
    hearing: Arc<Hearing>,
    gate: Arc<Gate>,
    /// Runs while the child is stopped (state T).
    stopped: Pulse,
}

fn start(config: Config, options: &Options) -> Result<Running, Failure> {
    // The secrets are in our memory from here on: no core, no ptrace, no /proc/…/environ for others.
    let hidden = rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable);
    hidden.map_err(|error| own("hiding the secrets")(error.into()))?;
    if !rustix::process::getpid().is_init() {
        // Orphans come to us, as they would to the first process.
        let adopted = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
        if adopted.is_err() {
            tracing::warn!(
                event = "orphans_unreaped",
                "This is not the first process, and the kernel gives it no orphans: what the program leaves behind is not reaped"
            );
        }
    }
    // Before the child and any thread exist, so that no signal is lost.
    let (signals, inherited) = sys::take_signals(signals::taken());
    if let Some(Signal(number)) = options.parent_death {
        let signal = rustix::process::Signal::from_named_raw(number);
        rustix::process::set_parent_process_death_signal(signal)
            .map_err(|error| own("--parent-death-signal")(error.into()))?;
    }
    let launch = Arc::new(Launch::new(options, inherited)?);
    // So that we hold nobody's directory; where even / is refused, we stay.
    let _ = std::env::set_current_dir("/");
    let deadline = options.deadline;
    let monitor = Monitor::start(config).map_err(|error| Failure::Own(error.to_string()))?;
    let life = Life::new(
        Arc::new(Reaper::default()),
        Arc::clone(monitor.apoptosis()),
        options.respawn.is_some(),
        options.last_lines,
    );
    let socket = notify::bind().map_err(own("opening the notify socket"))?;
    let notify_name = socket.name().to_owned();
    let judged = Arc::clone(&life);
    let stopped = monitor.pulses().register_handled(
        "child",
        "stopped",
        deadline,
        Box::new(move |words| judged.failed(judged.number(), words)),
    );
    let hearing = notify::listen(socket, &monitor, &life, deadline, launch.uid())
        .map_err(own("listening to the child"))?;
    let gate = Arc::new(Gate::default());
    let mut running = Running {
        monitor,
        signals,
        table: signals::Table::new(&options.rewrites),
        group: options.group,
        grace: options.grace,
        kill_at: None,
        asked_to_end: false,
        asked_to_stop: false,
        successes: options.successes.clone(),
        intensity: options.respawn.map(Intensity::new),
        launch,
        notify_name,
        deadline,
        life,
        hearing,
        gate,
        stopped,
    };
    running.spawn()?;
    running.probe(options)?;
    Ok(running)
}

impl Running {
    fn spawn(&mut self) -> Result<(), Failure> {
        let mut command = self.launch.program()?;
        command
            .env("NOTIFY_SOCKET", &self.notify_name)
            .env("WATCHDOG_USEC", self.deadline.as_micros().to_string());
        self.hearing.reset();
        self.gate.reset();
        self.stopped.rest();
        self.asked_to_stop = false;
        let (pid, mut child) = self
            .life
            .reaper
            .spawn(&mut command)
            .map_err(Failure::Command)?;
        self.life.begin(pid);
        if let Some(tail) = &self.life.tail {
            tail.follow(&mut child)
                .map_err(own("following the output"))?;
        }
        tracing::info!(
            event = "child_started",
            pid,
            "Started {}",
            self.launch.name()
        );
        Ok(())
    }

    fn probe(&self, options: &Options) -> Result<(), Failure> {
        // Startup probes first: the others wait for all of them.
        let (first, then): (Vec<_>, Vec<_>) = options
            .probes
            .iter()
            .cloned()
            .partition(|(duty, _)| *duty == Duty::Startup);
        if first.len() > Gate::PROBES_MAX {
            return Err(Failure::Own(format!(
                "more than {} startup probes",
                Gate::PROBES_MAX
            )));
        }
        for (duty, timed) in first.into_iter().chain(then) {
            asking::start(
                timed,
                duty,
                &self.monitor,
                &self.life,
                &self.launch,
                &self.gate,
            )
            .map_err(own("starting a probe"))?;
        }
        Ok(())
    }

    fn serve(&mut self) -> Result<u8, Failure> {
        let mut settling = SETTLED.into_iter();
        let mut idle = settling.next();
        loop {
            let left = self
                .kill_at
                .map(|at| at.saturating_duration_since(Instant::now()));
            match self.signals.next(left.or(idle).unwrap_or(IDLE)) {
                Some(libc::SIGCHLD) => {}
                Some(signal) => self.signal(signal),
                None => {
                    if idle.is_some() {
                        idle = settling.next();
                        sys::give_back_memory();
                    }
                    self.kill_if_due();
                }
            }
            let Some(status) = self.reap() else { continue };
            if let Some(code) = self.ended(status) {
                return Ok(code);
            }
            self.spawn()?;
        }
    }

    fn signal(&mut self, signal: i32) {
        if signals::asks_for_end(signal) && self.table.out(signal).is_some() {
            self.asked_to_end = true;
            self.life.set_stopping();
            if let (Some(grace), None) = (self.grace, self.kill_at) {
                self.kill_at = Some(Instant::now() + grace);
            }
        }
        let Some(out) = self.table.out(signal) else {
            return;
        };
        if signals::asks_for_stop(out) {
            self.asked_to_stop = true;
        } else if out == libc::SIGCONT {
            self.asked_to_stop = false;
        }
        self.send(out);
    }

    fn send(&self, signal: i32) {
        // A child that has just ended takes no signal, and need not.
        if self.group {
            sys::kill_group(self.life.leader(), signal);
        }
        if !self.group || self.life.main() != self.life.leader() {
            self.life.reaper.kill(self.life.main(), signal);
        }
    }

    fn kill_if_due(&mut self) {
        if self.kill_at.is_none_or(|at| Instant::now() < at) {
            return;
        }
        tracing::warn!(
            event = "grace_over",
            "The program did not end within its grace (--grace); it is killed"
        );
        self.kill_at = None;
        self.life.reaper.kill(self.life.main(), libc::SIGKILL);
        sys::kill_group(self.life.leader(), libc::SIGKILL);
    }

    /// How the program ended, when it has.
    fn reap(&mut self) -> Option<WaitStatus> {
        let mut end = None;
        for (pid, status) in self.life.reaper.reap() {
            let main = self.life.main();
            if pid != main {
                if pid == self.life.leader() {
                    tracing::info!(
                        event = "child_forked",
                        "The program went on in process {main}"
                    );
                    if !self.life.reaper.lives(main) || !is_there(main) {
                        end = Some(status);
                    }
                } else if !status.stopped() && !status.continued() {
                    tracing::debug!(
                        event = "orphan_reaped",
                        pid,
                        "Reaped process {pid}, which was left behind"
                    );
                }
            } else if status.stopped() {
                if !self.asked_to_stop {
                    self.stopped.arm();
                }
            } else if status.continued() {
                self.stopped.rest();
            } else {
                self.stopped.rest();
                end = Some(status);
            }
        }
        end
    }

    /// The code to end with; none where the program is to be started again.
    fn ended(&mut self, status: WaitStatus) -> Option<u8> {
        if self.life.apoptosis().is_ending() {
            // The child was ended by our own watchdog, which is about to end us with its own code.
            loop {
                std::thread::park();
            }
        }
        if self.group {
            // What it started is told as well, as dumb-init does.
            sys::kill_group(self.life.leader(), libc::SIGTERM);
        }
        if let Some(tail) = &self.life.tail {
            tail.drain();
        }
        let mut code = exit_code(status);
        if self.successes.contains(&code) {
            code = 0;
        }
        if self.asked_to_end {
            self.monitor.leave();
            return Some(code);
        }
        let hung = self.life.was_ended_by_us();
        let last = if hung {
            self.life.apoptosis().exit_code()
        } else {
            code
        };
        let Some(intensity) = &mut self.intensity else {
            return Some(last);
        };
        if !intensity.is_due(code == 0 && !hung) {
            return Some(last);
        }
        if intensity.allow(Instant::now()) {
            tracing::warn!(
                event = "child_respawned",
                "The program ended with {code}; starting it again"
            );
            return None;
        }
        tracing::error!(
            event = "respawn_given_up",
            "The program ended with {code}, too often (--respawn-limit, --respawn-window); giving up"
        );
        Some(last)
    }
}

fn is_there(pid: i32) -> bool {
    std::path::Path::new("/proc").join(pid.to_string()).exists()
}

fn exit_code(status: WaitStatus) -> u8 {
    let code = match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => code,
        (None, Some(signal)) => SIGNALLED + signal,
        (None, None) => 1,
    };
    u8::try_from(code).unwrap_or(u8::MAX)
}
