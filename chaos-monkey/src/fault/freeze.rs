//! One process stands still while the others go on.

use super::{About, Needs, Undo};
use std::time::Duration;

pub(super) const ABOUT: About = About {
    name: "freeze",
    what: "SIGSTOP to the youngest process of the target that is not its first",
    proof: "the kernel shows its state as T (stopped)",
    undo: Undo::Helper,
    needs: Needs::Processes,
    healed_by: "the monkey, after its time; or a health check that sees it",
    heals: false,
    patience: Duration::from_secs(20),
};
