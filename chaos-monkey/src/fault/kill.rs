//! A process dies at once, as by the kernel's hand: `docker kill`.

use super::{About, Needs, Undo};
use crate::engine::{Engine, EngineError};
use std::time::Duration;

pub(super) const ABOUT: About = About {
    name: "kill",
    what: "SIGKILL to the first process, by the engine's kill call",
    proof: "the engine says that this life has ended",
    undo: Undo::Start,
    needs: Needs::Engine,
    healed_by: "the leader, which starts it",
    heals: true,
    patience: Duration::from_secs(60),
};

pub(super) async fn inject<E: Engine>(engine: &E, id: &str) -> Result<(), EngineError> {
    engine.kill(id, "SIGKILL").await
}
