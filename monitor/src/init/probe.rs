//! Probes for programs that say nothing of themselves.

use super::reap::Reaper;
use crate::http;
use crate::monitor::Monitor;
use planaria_core::message::LastWords;
use std::fmt;
use std::process::{Command, Stdio};
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A probe's thread opens a socket or starts a program, no more.
const STACK: usize = 128 * 1024;

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Probe {
    /// Does it take a connection?
    Tcp(String),
    /// Does it answer 2xx or 3xx?
    Http(String, String),
    /// Does this program end with 0? Split at white space; no shell.
    Exec(Vec<String>),
}

impl FromStr for Probe {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "{text:?} is no probe: use tcp:6379, http://:80/health or exec:program arguments"
            )
        };
        if text.starts_with("http://") {
            let (address, path) = http::split_url(text).ok_or_else(wrong)?;
            return Ok(Self::Http(address, path));
        }
        if let Some(address) = text.strip_prefix("tcp:") {
            let address = address.trim_start_matches('/');
            return http::with_host(address, None)
                .map(Self::Tcp)
                .ok_or_else(wrong);
        }
        let program = text.strip_prefix("exec:").ok_or_else(wrong)?;
        let words: Vec<String> = program.split_whitespace().map(str::to_owned).collect();
        if words.is_empty() {
            return Err(wrong());
        }
        Ok(Self::Exec(words))
    }
}

impl fmt::Display for Probe {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(out, "tcp:{address}"),
            Self::Http(address, path) => write!(out, "http://{address}{path}"),
            Self::Exec(words) => write!(out, "exec:{}", words.join(" ")),
        }
    }
}

/// How often, how long, how many times.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timing {
    pub(crate) interval: Duration,
    pub(crate) timeout: Duration,
    pub(crate) failures: u32,
    /// Failures before the first success do not count for so long.
    pub(crate) start_period: Duration,
}

/// Asks once.
pub(crate) fn ask(probe: &Probe, within: Duration) -> Result<(), String> {
    match probe {
        Probe::Tcp(address) => http::connect(address, within)
            .map(drop)
            .map_err(|error| error.to_string()),
        Probe::Http(address, path) => match http::request("GET", address, path, b"", within) {
            Ok(answer) if (200..400).contains(&answer.status) => Ok(()),
            Ok(answer) => Err(format!("HTTP {}", answer.status)),
            Err(error) => Err(error.to_string()),
        },
        Probe::Exec(_) => Err("a program needs a reaper".into()),
    }
}

fn ask_with(probe: &Probe, within: Duration, reaper: &Reaper) -> Result<(), String> {
    let Probe::Exec(words) = probe else {
        return ask(probe, within);
    };
    let Some((program, arguments)) = words.split_first() else {
        return Err("no program".into());
    };
    let mut command = Command::new(program);
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    let secrets = std::env::vars_os().map(|(name, _)| name);
    for name in secrets.filter(|name| name.as_encoded_bytes().starts_with(b"PLANARIA_")) {
        command.env_remove(name);
    }
    match reaper.run(&mut command, within) {
        Ok(Some(status)) if status.exit_status() == Some(0) => Ok(()),
        Ok(Some(status)) => Err(format!("it ended with {:?}", status.exit_status())),
        Ok(None) => Err("it did not end in time".into()),
        Err(error) => Err(error.to_string()),
    }
}

/// Counts failures in a row.
struct Judge {
    timing: Timing,
    begun: Instant,
    succeeded: bool,
    failures: u32,
    since: Option<Instant>,
}

impl Judge {
    /// True when the program is to be ended.
    fn failed(&mut self, now: Instant) -> bool {
        if !self.succeeded && now.duration_since(self.begun) < self.timing.start_period {
            return false;
        }
        self.failures += 1;
        self.since.get_or_insert(now);
        self.failures >= self.timing.failures.max(1)
    }

    fn passed(&mut self) {
        self.succeeded = true;
        self.failures = 0;
        self.since = None;
    }
}

/// Asks for ever, on a thread of its own; ends the process after too many failures in a row.
pub(super) fn start(
    probe: Probe,
    timing: Timing,
    monitor: &Monitor,
    reaper: &Arc<Reaper>,
) -> std::io::Result<()> {
    let healthy = Arc::new(AtomicBool::new(false));
    let reason = Arc::new(Mutex::new("not asked yet".to_owned()));
    let shown = (Arc::clone(&healthy), Arc::clone(&reason));
    monitor.add_readiness(&format!("probe {probe}"), move || {
        if shown.0.load(Ordering::Relaxed) {
            return Ok(());
        }
        Err(shown
            .1
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone())
    });
    let apoptosis = Arc::clone(monitor.apoptosis());
    let reaper = Arc::clone(reaper);
    let mut judge = Judge {
        timing,
        begun: Instant::now(),
        succeeded: false,
        failures: 0,
        since: None,
    };
    let work = move || loop {
        match ask_with(&probe, timing.timeout, &reaper) {
            Ok(()) => {
                judge.passed();
                healthy.store(true, Ordering::Relaxed);
            }
            Err(error) => {
                healthy.store(false, Ordering::Relaxed);
                reason
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .clone_from(&error);
                if judge.failed(Instant::now()) {
                    tracing::error!(
                        event = "probe_failed",
                        "The probe {probe} failed {} times in a row: {error}",
                        judge.failures
                    );
                    let late = judge.since.map_or(Duration::ZERO, |since| since.elapsed());
                    apoptosis.end(&LastWords {
                        pulse: probe.to_string(),
                        late_ms: u64::try_from(late.as_millis()).unwrap_or(u64::MAX),
                        reason: "probe".into(),
                    });
                }
            }
        }
        std::thread::sleep(timing.interval);
    };
    std::thread::Builder::new()
        .name("probe".into())
        .stack_size(STACK)
        .spawn(work)
        .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes_are_read() {
        assert_eq!("tcp:6379".parse(), Ok(Probe::Tcp("127.0.0.1:6379".into())));
        assert_eq!(
            "http://:80/health".parse(),
            Ok(Probe::Http("127.0.0.1:80".into(), "/health".into()))
        );
        assert_eq!(
            "exec:redis-cli ping".parse(),
            Ok(Probe::Exec(vec!["redis-cli".into(), "ping".into()]))
        );
        for bad in [
            "",
            "tcp:",
            "tcp:host",
            "exec:",
            "exec:  ",
            "https://x",
            "udp:1",
            "http://a b/",
        ] {
            let parsed: Result<Probe, _> = bad.parse();
            assert!(parsed.is_err(), "{bad}");
        }
    }

    #[test]
    fn failures_count_in_a_row_and_after_the_start_period() {
        let begun = Instant::now();
        let mut judge = Judge {
            timing: Timing {
                interval: Duration::from_secs(1),
                timeout: Duration::from_secs(1),
                failures: 2,
                start_period: Duration::from_secs(60),
            },
            begun,
            succeeded: false,
            failures: 0,
            since: None,
        };
        assert!(!judge.failed(begun));
        assert!(!judge.failed(begun), "the start period lasts");
        judge.passed();
        assert!(!judge.failed(begun), "one failure");
        judge.passed();
        assert!(!judge.failed(begun), "a success ended the row");
        assert!(judge.failed(begun), "two in a row");
    }
}
