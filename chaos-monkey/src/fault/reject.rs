//! Connections are refused and broken at once.

use super::{About, Needs, Undo};
use std::time::Duration;

pub(super) const ABOUT: About = About {
    name: "reject",
    what: "TCP is reset, the rest refused (packet filter, REJECT, in its network namespace)",
    proof: "all echoes from inside fail",
    undo: Undo::Helper,
    needs: Needs::Network,
    healed_by: "the monkey, after its time; who is hung meanwhile is restarted by the leader",
    heals: false,
    patience: Duration::from_secs(20),
};
