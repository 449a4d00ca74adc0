//! `--respawn`: the restart intensity of an OTP supervisor, for those without a group.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// OTP's kinds of children; `temporary` is what `run` does without the option.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kind {
    /// Started again however it ended.
    Permanent,
    /// Started again unless it ended with 0.
    Transient,
}

/// Whether, and how often.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Respawn {
    pub(crate) kind: Kind,
    pub(crate) limit: u32,
    pub(crate) window: Duration,
}

/// Counts restarts: more than `limit` in `window` is the end, as with OTP's `intensity` and `period`.
#[derive(Debug)]
pub(super) struct Intensity {
    respawn: Respawn,
    restarts: VecDeque<Instant>,
}

impl Intensity {
    pub(super) fn new(respawn: Respawn) -> Self {
        Self {
            respawn,
            restarts: VecDeque::new(),
        }
    }

    /// Whether a program that ended so is due to be started again at all.
    pub(super) fn is_due(&self, succeeded: bool) -> bool {
        self.respawn.kind == Kind::Permanent || !succeeded
    }

    /// Notes a restart, if one more is allowed.
    pub(super) fn allow(&mut self, now: Instant) -> bool {
        let window = self.respawn.window;
        self.restarts
            .retain(|restart| now.duration_since(*restart) < window);
        let room = u32::try_from(self.restarts.len()).unwrap_or(u32::MAX) < self.respawn.limit;
        if room {
            self.restarts.push_back(now);
        }
        room
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_restart_more_than_the_limit_in_the_window_is_the_end() {
        let mut intensity = Intensity::new(Respawn {
            kind: Kind::Transient,
            limit: 2,
            window: Duration::from_secs(10),
        });
        let begin = Instant::now();
        assert!(intensity.allow(begin));
        assert!(intensity.allow(begin + Duration::from_secs(1)));
        assert!(!intensity.allow(begin + Duration::from_secs(9)));
        assert!(
            intensity.allow(begin + Duration::from_secs(10)),
            "the first is out of the window"
        );
        assert!(!intensity.is_due(true) && intensity.is_due(false));
    }
}
