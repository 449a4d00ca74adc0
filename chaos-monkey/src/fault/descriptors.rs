//! Nothing more can be opened.

use super::{About, Needs, Undo};
use std::time::Duration;

pub(super) const ABOUT: About = About {
    name: "descriptors",
    what: "the soft limit of open files of each process is set to what it has open",
    proof: "the limit is what it was set to",
    undo: Undo::Helper,
    needs: Needs::Processes,
    healed_by: "the monkey, after its time",
    heals: false,
    patience: Duration::from_secs(20),
};
