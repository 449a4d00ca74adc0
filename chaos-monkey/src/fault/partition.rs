//! No packet passes, and nobody is told: the others are silent.

use super::{About, Needs, Undo};
use std::time::Duration;

pub(super) const ABOUT: About = About {
    name: "partition",
    what: "packets to and from everybody, or the given peers, are dropped (packet filter, DROP, in its network namespace)",
    proof: "all echoes from inside are lost",
    undo: Undo::Helper,
    needs: Needs::Network,
    healed_by: "the monkey, after its time; who is hung meanwhile is restarted by the leader",
    heals: false,
    patience: Duration::from_secs(20),
};
