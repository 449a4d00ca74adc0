//! Which signals are passed on, under which number, and which of them ask for an end or a stop.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// What a synchronous fault of this very process raises: blocked, it would be lost or loop. SIGPIPE is among
/// them: our own closed pipe must not end the child. The last two cannot be taken at all.
const OWN: [i32; 9] = [
    libc::SIGILL,
    libc::SIGFPE,
    libc::SIGSEGV,
    libc::SIGBUS,
    libc::SIGTRAP,
    libc::SIGSYS,
    libc::SIGPIPE,
    libc::SIGKILL,
    libc::SIGSTOP,
];
const CLASSIC_MAX: i32 = 31;
/// The C library keeps 32 and 33 for itself.
const REAL_TIME: RangeInclusive<i32> = 34..=64;

/// Linux's numbers on the processors we build for (x86-64, arm64, arm, riscv64).
const NAMES: [(&str, i32); 31] = [
    ("HUP", libc::SIGHUP),
    ("INT", libc::SIGINT),
    ("QUIT", libc::SIGQUIT),
    ("ILL", libc::SIGILL),
    ("TRAP", libc::SIGTRAP),
    ("ABRT", libc::SIGABRT),
    ("BUS", libc::SIGBUS),
    ("FPE", libc::SIGFPE),
    ("KILL", libc::SIGKILL),
    ("USR1", libc::SIGUSR1),
    ("SEGV", libc::SIGSEGV),
    ("USR2", libc::SIGUSR2),
    ("PIPE", libc::SIGPIPE),
    ("ALRM", libc::SIGALRM),
    ("TERM", libc::SIGTERM),
    ("STKFLT", libc::SIGSTKFLT),
    ("CHLD", libc::SIGCHLD),
    ("CONT", libc::SIGCONT),
    ("STOP", libc::SIGSTOP),
    ("TSTP", libc::SIGTSTP),
    ("TTIN", libc::SIGTTIN),
    ("TTOU", libc::SIGTTOU),
    ("URG", libc::SIGURG),
    ("XCPU", libc::SIGXCPU),
    ("XFSZ", libc::SIGXFSZ),
    ("VTALRM", libc::SIGVTALRM),
    ("PROF", libc::SIGPROF),
    ("WINCH", libc::SIGWINCH),
    ("IO", libc::SIGIO),
    ("PWR", libc::SIGPWR),
    ("SYS", libc::SIGSYS),
];

/// All that is taken from the kernel; SIGCHLD among them, which is for us.
pub(super) fn taken() -> impl Iterator<Item = i32> {
    (1..=CLASSIC_MAX)
        .chain(REAL_TIME)
        .filter(|signal| !OWN.contains(signal))
}

/// A signal by its number or name (`15`, `TERM`, `SIGTERM`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Signal(pub(crate) i32);

impl FromStr for Signal {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let upper = text.trim().to_ascii_uppercase();
        let name = upper.strip_prefix("SIG").unwrap_or(&upper);
        if let Some((_, number)) = NAMES.iter().find(|(known, _)| *known == name) {
            return Ok(Self(*number));
        }
        match name.parse::<i32>() {
            Ok(number) if (1..=CLASSIC_MAX).contains(&number) || REAL_TIME.contains(&number) => {
                Ok(Self(number))
            }
            _ => Err(format!(
                "{text:?} is no signal; use a name (TERM, SIGTERM) or a number from 1 to 64"
            )),
        }
    }
}

/// `15:3`, `TERM:QUIT`: what comes in under one number goes out under another; to 0, not at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rewrite {
    from: Signal,
    to: Option<Signal>,
}

impl FromStr for Rewrite {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (from, to) = text
            .split_once(':')
            .ok_or_else(|| format!("{text:?}: use FROM:TO, for example TERM:QUIT"))?;
        let from: Signal = from.parse()?;
        if OWN.contains(&from.0) || from.0 == libc::SIGCHLD {
            return Err(format!("{text:?}: signal {} is never passed on", from.0));
        }
        let to = if to.trim() == "0" {
            None
        } else {
            Some(to.parse()?)
        };
        Ok(Self { from, to })
    }
}

/// What is to be done with a signal that came in.
#[derive(Clone, Debug, Default)]
pub(super) struct Table(BTreeMap<i32, Option<i32>>);

impl Table {
    pub(super) fn new(rewrites: &[Rewrite]) -> Self {
        let pairs = rewrites.iter();
        Self(
            pairs
                .map(|rewrite| (rewrite.from.0, rewrite.to.map(|signal| signal.0)))
                .collect(),
        )
    }

    /// Under which number it goes out.
    pub(super) fn out(&self, signal: i32) -> Option<i32> {
        self.0.get(&signal).copied().unwrap_or(Some(signal))
    }
}

/// Whoever sends one of these wants an end.
pub(super) fn asks_for_end(signal: i32) -> bool {
    matches!(signal, libc::SIGTERM | libc::SIGINT | libc::SIGQUIT)
}

/// Whoever sends one of these wants a stop, so that a stop is no hang.
pub(super) fn asks_for_stop(signal: i32) -> bool {
    matches!(
        signal,
        libc::SIGSTOP | libc::SIGTSTP | libc::SIGTTIN | libc::SIGTTOU
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_about_us_is_not_taken() {
        let all: Vec<i32> = taken().collect();
        for own in OWN {
            assert!(!all.contains(&own), "{own}");
        }
        for passed in [1, 2, 3, 6, 10, 12, 15, 17, 18, 20, 21, 22, 28, 34, 64] {
            assert!(all.contains(&passed), "{passed}");
        }
    }

    #[test]
    fn signals_have_names_and_numbers() {
        for (text, number) in [("15", 15), ("TERM", 15), ("sigterm", 15), ("64", 64)] {
            assert_eq!(text.parse(), Ok(Signal(number)), "{text}");
        }
        for bad in ["", "0", "-1", "32", "33", "65", "NOPE", "SIG", "1.5"] {
            assert!(bad.parse::<Signal>().is_err(), "{bad}");
        }
    }

    #[test]
    fn rewrites_name_two_signals_or_drop_one() {
        let table = Table::new(&["TERM:QUIT".parse().unwrap(), "28:0".parse().unwrap()]);
        assert_eq!(table.out(15), Some(3));
        assert_eq!(table.out(28), None);
        assert_eq!(table.out(1), Some(1));
        for bad in ["", "15", "15:", ":15", "15:99", "KILL:15", "CHLD:15", "a:b"] {
            assert!(bad.parse::<Rewrite>().is_err(), "{bad}");
        }
    }
}
