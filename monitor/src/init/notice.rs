//! What a line of `sd_notify(3)` says.

use std::time::Duration;

/// No program may excuse itself for longer at a time, nor ask for a longer deadline.
pub(super) const SPAN_MAX: Duration = Duration::from_secs(3600);
/// Two of the watchdog's ticks: it cannot judge faster.
const DEADLINE_MIN: Duration = Duration::from_millis(400);

/// What a line wants.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Notice {
    Ready,
    Reloading,
    Stopping,
    Status(String),
    Alive,
    Trigger,
    /// `WATCHDOG_USEC=`: another deadline from now on; none is "no pulse is due any more".
    Deadline(Option<Duration>),
    Extend(Duration),
    MainPid(i32),
    /// `FDSTORE=1` and its relatives: we keep no descriptors.
    Store,
    /// Known, and of no consequence here.
    Idle,
    /// A name that systemd may know and we do not.
    Unknown,
    /// A known name with a value that is none.
    Malformed,
}

/// Reads one line of a message.
pub(super) fn read(line: &str) -> Notice {
    let Some((name, value)) = line.split_once('=') else {
        return Notice::Malformed;
    };
    let span = || value.parse().map(Duration::from_micros).ok();
    match (name, value) {
        ("READY", "1") => Notice::Ready,
        ("RELOADING", "1") => Notice::Reloading,
        ("STOPPING", "1") => Notice::Stopping,
        ("STATUS", text) => Notice::Status(text.to_owned()),
        ("WATCHDOG", "1") => Notice::Alive,
        ("WATCHDOG", "trigger") => Notice::Trigger,
        ("WATCHDOG_USEC", _) => match span() {
            Some(Duration::ZERO) => Notice::Deadline(None),
            Some(span) => Notice::Deadline(Some(span.clamp(DEADLINE_MIN, SPAN_MAX))),
            None => Notice::Malformed,
        },
        ("EXTEND_TIMEOUT_USEC", _) => {
            span().map_or(Notice::Malformed, |span| Notice::Extend(span.min(SPAN_MAX)))
        }
        ("MAINPID", _) => match value.parse() {
            Ok(pid) if pid > 0 => Notice::MainPid(pid),
            _ => Notice::Malformed,
        },
        ("FDSTORE", "1") => Notice::Store,
        (
            "FDSTOREREMOVE" | "FDNAME" | "FDPOLL" | "ERRNO" | "BUSERROR" | "VARLINKERROR"
            | "EXIT_STATUS" | "MONOTONIC_USEC" | "NOTIFYACCESS" | "BARRIER" | "MAINPIDFDID"
            | "MAINPIDFD" | "INVOCATION_ID",
            _,
        ) => Notice::Idle,
        ("READY" | "RELOADING" | "STOPPING" | "WATCHDOG" | "FDSTORE", _) => Notice::Malformed,
        _ => Notice::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_of_the_protocol_is_read() {
        let second = Duration::from_secs(1);
        for (line, notice) in [
            ("READY=1", Notice::Ready),
            ("RELOADING=1", Notice::Reloading),
            ("STOPPING=1", Notice::Stopping),
            ("STATUS=50 % = half", Notice::Status("50 % = half".into())),
            ("WATCHDOG=1", Notice::Alive),
            ("WATCHDOG=trigger", Notice::Trigger),
            ("WATCHDOG_USEC=1000000", Notice::Deadline(Some(second))),
            ("WATCHDOG_USEC=1", Notice::Deadline(Some(DEADLINE_MIN))),
            ("WATCHDOG_USEC=0", Notice::Deadline(None)),
            ("EXTEND_TIMEOUT_USEC=1000000", Notice::Extend(second)),
            (
                "EXTEND_TIMEOUT_USEC=18446744073709551615",
                Notice::Extend(SPAN_MAX),
            ),
            ("MAINPID=42", Notice::MainPid(42)),
            ("FDSTORE=1", Notice::Store),
            ("BARRIER=1", Notice::Idle),
            ("X_OWN=1", Notice::Unknown),
        ] {
            assert_eq!(read(line), notice, "{line}");
        }
    }

    #[test]
    fn nonsense_is_malformed() {
        for line in [
            "",
            "READY",
            "READY=2",
            "WATCHDOG=0",
            "WATCHDOG_USEC=-1",
            "WATCHDOG_USEC=1.5",
            "EXTEND_TIMEOUT_USEC=",
            "MAINPID=0",
            "MAINPID=-1",
            "MAINPID=1e3",
            "\u{fffd}",
            "WATCHDOG_USEC=99999999999999999999999",
        ] {
            assert_eq!(read(line), Notice::Malformed, "{line:?}");
        }
    }
}
