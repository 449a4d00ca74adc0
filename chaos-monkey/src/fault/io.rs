//! A disk is busy all the time.

use super::{About, Needs, Undo};
use std::time::Duration;

pub(super) const ABOUT: About = About {
    name: "io",
    what: "a file under --path is written and synced over and over by a helper in the target's control group",
    proof: "the kernel counts the bytes that went to the disk, for that group where it counts groups",
    undo: Undo::Helper,
    needs: Needs::Processes,
    healed_by: "the monkey, after its time",
    heals: false,
    patience: Duration::from_secs(20),
};
