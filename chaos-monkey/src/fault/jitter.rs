//! Packets are held for times that differ, so that later ones may overtake.

use super::{About, Needs, Undo};
use std::time::Duration;

pub(super) const ABOUT: About = About {
    name: "jitter",
    what: "packets from the target are held for delay_ms give or take jitter_ms (NFQUEUE in its network namespace)",
    proof: "the round trips of echoes from inside differ",
    undo: Undo::Helper,
    needs: Needs::Network,
    healed_by: "the monkey, after its time",
    heals: false,
    patience: Duration::from_secs(20),
};
