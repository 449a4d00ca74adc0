//! Memory runs short.

use super::{About, Needs, Undo};
use std::time::Duration;

pub(super) const ABOUT: About = About {
    name: "memory",
    what: "a helper in the control group of the target takes memory",
    proof: "so much is counted for the target",
    undo: Undo::Helper,
    needs: Needs::Processes,
    healed_by: "the monkey, after its time",
    heals: false,
    patience: Duration::from_secs(20),
};
