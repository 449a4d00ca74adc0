//! The kernel kills for memory.

use super::{About, Needs, Undo, ended};
use crate::engine::{Engine, EngineError, Found};
use std::time::Duration;

pub(super) const ABOUT: About = About {
    name: "oom",
    what: "the memory limit of the target is lowered and a helper in its control group goes beyond it",
    proof: "the kernel counts a kill, or this life has ended",
    undo: Undo::Helper,
    needs: Needs::Processes,
    healed_by: "the leader, which starts it; where only a child was killed nobody need",
    heals: false,
    patience: Duration::from_secs(60),
};

/// The helper may die with the first process whose namespace it shares.
pub(super) async fn took<E: Engine>(engine: &E, before: &Found) -> Result<bool, EngineError> {
    ended(engine, before).await
}
