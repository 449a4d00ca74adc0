//! Bits are flipped, and the checksums mended: the receiver gets wrong bytes.

use super::{About, Needs, Undo};
use std::time::Duration;

pub(super) const ABOUT: About = About {
    name: "corrupt",
    what: "one bit of some packets from the target is flipped, checksums are mended (NFQUEUE in its network namespace)",
    proof: "echoes come back changed",
    undo: Undo::Helper,
    needs: Needs::Network,
    healed_by: "the monkey, after its time",
    heals: false,
    patience: Duration::from_secs(15),
};
