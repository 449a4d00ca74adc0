//! All processes of a container freeze, sockets stay open: `docker pause`.

use super::{About, Needs, Undo};
use crate::engine::{Engine, EngineError, Found};
use crate::target::Life;
use std::time::Duration;

pub(super) const ABOUT: About = About {
    name: "pause",
    what: "all processes frozen by the engine's pause call (the freezer of its cgroup)",
    proof: "the engine says paused",
    undo: Undo::Unpause,
    needs: Needs::Engine,
    healed_by: "the leader, after PAUSE_GRACE",
    heals: true,
    patience: Duration::from_secs(30),
};

pub(super) async fn inject<E: Engine>(engine: &E, id: &str) -> Result<(), EngineError> {
    engine.pause(id).await
}

pub(super) async fn took<E: Engine>(engine: &E, before: &Found) -> Result<bool, EngineError> {
    Ok(engine.inspect(&before.id).await?.life == Life::Paused)
}
