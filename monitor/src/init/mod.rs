//! `monitor run`: the first process of a container, around a program that knows nothing of us.
//!
//! It forwards signals, reaps, passes the exit code on, and is the watchdog that a stopped program
//! cannot be for itself.

mod notify;
mod probe;
mod reap;
mod user;

pub(crate) use probe::{Probe, Timing, ask};

use crate::apoptosis::Apoptosis;
use crate::monitor::{Config, Monitor};
use crate::pulse::Pulse;
use crate::sys;
use reap::Reaper;
use rustix::process::{DumpableBehavior, WaitStatus};
use signal_hook::iterator::Signals;
use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

/// What `run` is told.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) command: Vec<OsString>,
    pub(crate) probes: Vec<Probe>,
    pub(crate) timing: Timing,
    pub(crate) user: Option<String>,
}

/// The shell's: found, but cannot be run.
const CANNOT_RUN: u8 = 126;
/// The shell's: not found.
const NOT_FOUND: u8 = 127;
/// The shell's: killed by the signal that is added.
const SIGNALLED: i32 = 128;

/// Signals of the kernel that are about this very process and not to be passed on. SIGPIPE is among
/// them: our own closed pipe must not end the child.
const OWN: [i32; 9] = [
    libc::SIGKILL,
    libc::SIGSTOP,
    libc::SIGILL,
    libc::SIGFPE,
    libc::SIGSEGV,
    libc::SIGBUS,
    libc::SIGTRAP,
    libc::SIGSYS,
    libc::SIGPIPE,
];
const CLASSIC_MAX: i32 = 31;
/// The C library keeps 32 and 33 for itself.
const REAL_TIME: std::ops::RangeInclusive<i32> = 34..=64;

fn forwarded() -> impl Iterator<Item = i32> {
    (1..=CLASSIC_MAX)
        .chain(REAL_TIME)
        .filter(|signal| !OWN.contains(signal))
}

/// Runs the program to its end; the exit code is the program's.
pub(crate) fn run(config: Config, options: &Options) -> u8 {
    let deadline = config.settings.pulse_timeout;
    match start(config, options, deadline) {
        Ok(mut running) => running.serve(),
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
    reaper: Arc<Reaper>,
    signals: Signals,
    child: i32,
    /// Runs while the child is stopped (state T).
    stopped: Pulse,
    apoptosis: Arc<Apoptosis>,
}

fn start(config: Config, options: &Options, deadline: Duration) -> Result<Running, Failure> {
    // The secrets are in our memory from here on: no core, no ptrace, no /proc/…/environ for others.
    let hidden = rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable);
    hidden.map_err(|error| own("hiding the secrets")(error.into()))?;
    if !rustix::process::getpid().is_init() {
        // Orphans come to us, as they would to the first process; without it they are not reaped.
        let _ = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
    }
    // Before the child exists, so that no signal is lost.
    let signals = Signals::new(forwarded()).map_err(own("taking signals"))?;
    let mut command = command(options)?;
    let monitor = Monitor::start(config).map_err(|error| Failure::Own(error.to_string()))?;
    let apoptosis = Arc::clone(monitor.apoptosis());
    let socket = notify::bind().map_err(own("opening the notify socket"))?;
    command
        .env("NOTIFY_SOCKET", socket.name())
        .env("WATCHDOG_USEC", deadline.as_micros().to_string());
    let reaper = Arc::new(Reaper::default());
    let child = reaper.spawn(&mut command).map_err(Failure::Command)?;
    apoptosis.set_child(child);
    let stopped = monitor.pulses().register("child", "stopped", deadline);
    notify::listen(socket, &monitor, deadline).map_err(own("listening to the child"))?;
    for probe in &options.probes {
        probe::start(probe.clone(), options.timing, &monitor, &reaper)
            .map_err(own("starting a probe"))?;
    }
    tracing::info!(
        event = "child_started",
        child,
        "Started {:?}",
        options.command
    );
    Ok(Running {
        monitor,
        reaper,
        signals,
        child,
        stopped,
        apoptosis,
    })
}

fn command(options: &Options) -> Result<Command, Failure> {
    let Some((program, arguments)) = options.command.split_first() else {
        return Err(Failure::Own("no command given after --".into()));
    };
    let mut command = Command::new(program);
    command.args(arguments).process_group(0);
    let secrets = std::env::vars_os().map(|(name, _)| name);
    for name in secrets.filter(|name| name.as_encoded_bytes().starts_with(b"PLANARIA_")) {
        command.env_remove(name);
    }
    if let Some(user) = &options.user {
        let (uid, gid) = user::find(user).map_err(Failure::Own)?;
        command.uid(uid).gid(gid);
    }
    sys::clean_start(&mut command);
    Ok(command)
}

impl Running {
    fn serve(&mut self) -> u8 {
        let mut asked_to_end = false;
        loop {
            for signal in self.signals.wait() {
                if signal == libc::SIGCHLD {
                    continue;
                }
                asked_to_end |= matches!(signal, libc::SIGTERM | libc::SIGINT | libc::SIGQUIT);
                // A child that has just ended takes no signal, and need not.
                sys::kill(self.child, signal);
            }
            if let Some(code) = self.reap() {
                if asked_to_end {
                    self.monitor.leave();
                }
                return code;
            }
        }
    }

    /// The exit code, when the child has ended.
    fn reap(&self) -> Option<u8> {
        let mut code = None;
        for (pid, status) in self.reaper.reap() {
            if pid != self.child {
                continue;
            }
            if status.stopped() {
                self.stopped.arm();
            } else if status.continued() {
                self.stopped.rest();
            } else {
                self.stopped.rest();
                code = Some(exit_code(status));
            }
        }
        if code.is_some() && self.apoptosis.is_ending() {
            // The child was ended by our own watchdog, which is about to end us with its own code.
            loop {
                std::thread::park();
            }
        }
        code
    }
}

fn exit_code(status: WaitStatus) -> u8 {
    let code = match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => code,
        (None, Some(signal)) => SIGNALLED + signal,
        (None, None) => 1,
    };
    u8::try_from(code).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_about_us_is_not_forwarded() {
        let all: Vec<i32> = forwarded().collect();
        for own in OWN {
            assert!(!all.contains(&own), "{own}");
        }
        for passed in [1, 2, 3, 6, 10, 12, 15, 17, 18, 28, 34, 64] {
            assert!(all.contains(&passed), "{passed}");
        }
    }
}
