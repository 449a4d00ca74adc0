//! The bully on the direct path, while the broker is away. What it elects coordinates and starts, and
//! uses no force.
//!
//! ```text
//!  Idle ──no leader for ELECTION_TIMEOUT──▶ Asking ──no answer──▶ office
//!   ▲                                          │ answer
//!   └────────Coordinator──── Waiting ◀─────────┘      (Waiting too long: Asking again)
//! ```

use crate::time::Instant;
use std::time::Duration;

/// Where an election on the direct path stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direct {
    /// None under way.
    Idle,
    /// Everyone else was asked; an answer ends the hope.
    Asking {
        /// Until then.
        until: Instant,
    },
    /// Somebody higher is there and should announce itself.
    Waiting {
        /// Until then.
        until: Instant,
    },
}

impl Direct {
    /// How long answers are awaited: a fifth of the election timeout, far above a round trip.
    pub(super) fn patience(election_timeout: Duration) -> Duration {
        election_timeout / 5
    }

    pub(super) fn deadline(self) -> Option<Instant> {
        match self {
            Self::Idle => None,
            Self::Asking { until } | Self::Waiting { until } => Some(until),
        }
    }
}
