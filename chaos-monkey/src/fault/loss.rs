//! A share of the packets is lost.

use super::{About, Needs, Undo};
use std::time::Duration;

pub(super) const ABOUT: About = About {
    name: "loss",
    what: "packets from the target are dropped at random (packet filter, match statistic, in its network namespace)",
    proof: "echoes from inside are lost",
    undo: Undo::Helper,
    needs: Needs::Network,
    healed_by: "the monkey, after its time",
    heals: false,
    patience: Duration::from_secs(20),
};
