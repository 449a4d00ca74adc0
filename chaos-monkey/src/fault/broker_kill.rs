//! The broker dies at once: `kill`, aimed at it.

use super::{About, Needs, Undo};
use std::time::Duration;

pub(super) const ABOUT: About = About {
    name: "broker-kill",
    what: "SIGKILL to the broker's first process, by the engine's kill call",
    proof: "the engine says that this life has ended",
    undo: Undo::Start,
    needs: Needs::Engine,
    healed_by: "a guardian among the healers, which starts it",
    heals: true,
    patience: Duration::from_secs(60),
};
