//! Only so many bits a second pass, and what would wait too long is dropped.

use super::{About, Needs, Undo};
use std::time::Duration;

pub(super) const ABOUT: About = About {
    name: "rate",
    what: "packets from the target pass a token bucket in user space (NFQUEUE in its network namespace)",
    proof: "packets go through it",
    undo: Undo::Helper,
    needs: Needs::Network,
    healed_by: "the monkey, after its time",
    heals: false,
    patience: Duration::from_secs(20),
};
