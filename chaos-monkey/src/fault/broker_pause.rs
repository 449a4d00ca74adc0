//! The broker freezes, its connections stay open and nothing comes: `pause`, aimed at it.

use super::{About, Needs, Undo};
use std::time::Duration;

pub(super) const ABOUT: About = About {
    name: "broker-pause",
    what: "all processes of the broker frozen by the engine's pause call",
    proof: "the engine says paused",
    undo: Undo::Unpause,
    needs: Needs::Engine,
    healed_by: "a guardian among the healers, after PAUSE_GRACE",
    heals: true,
    patience: Duration::from_secs(60),
};
