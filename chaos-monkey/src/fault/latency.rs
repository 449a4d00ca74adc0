//! Packets are held for a while on their way.

use super::{About, Needs, Undo};
use std::time::Duration;

pub(super) const ABOUT: About = About {
    name: "latency",
    what: "packets from the target are held and let go from user space (NFQUEUE in its network namespace)",
    proof: "echoes from inside take that much longer",
    undo: Undo::Helper,
    needs: Needs::Network,
    healed_by: "the monkey, after its time",
    heals: false,
    patience: Duration::from_secs(20),
};
