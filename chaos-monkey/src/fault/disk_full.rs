//! A disk is full.

use super::{About, Needs, Undo};
use std::time::Duration;

pub(super) const ABOUT: About = About {
    name: "disk-full",
    what: "a file takes the room of the folder --path; 2 GiB stay free on a large disk",
    proof: "the free space of the folder, seen from inside",
    undo: Undo::Helper,
    needs: Needs::Processes,
    healed_by: "the monkey, after its time",
    heals: false,
    patience: Duration::from_secs(20),
};
