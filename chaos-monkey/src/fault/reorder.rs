//! Some packets are held, so that later ones overtake them.

use super::{About, Needs, Undo};
use std::time::Duration;

pub(super) const ABOUT: About = About {
    name: "reorder",
    what: "a share of the packets from the target is held for delay_ms (NFQUEUE in its network namespace)",
    proof: "echoes come back out of order",
    undo: Undo::Helper,
    needs: Needs::Network,
    healed_by: "the monkey, after its time",
    heals: false,
    patience: Duration::from_secs(20),
};
