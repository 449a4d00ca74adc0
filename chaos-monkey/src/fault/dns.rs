//! Names are not resolved any more.

use super::{About, Needs, Undo};
use std::time::Duration;

pub(super) const ABOUT: About = About {
    name: "dns",
    what: "questions to port 53 are dropped (packet filter, table raw, in its network namespace)",
    proof: "the resolver is silent, asked from inside",
    undo: Undo::Helper,
    needs: Needs::Network,
    healed_by: "the monkey, after its time",
    heals: false,
    patience: Duration::from_secs(20),
};
