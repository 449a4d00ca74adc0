//! A process is told to end, and no `docker stop` says that anybody wants it gone.

use super::{About, Needs, Undo};
use crate::engine::{Engine, EngineError};
use std::time::Duration;

pub(super) const ABOUT: About = About {
    name: "term",
    what: "SIGTERM to the first process, by the engine's kill call: an end in order that nobody ordered",
    proof: "the engine says that this life has ended",
    undo: Undo::Start,
    needs: Needs::Engine,
    healed_by: "the leader, once it is clear that no stop follows",
    heals: true,
    patience: Duration::from_secs(60),
};

pub(super) async fn inject<E: Engine>(engine: &E, id: &str) -> Result<(), EngineError> {
    engine.kill(id, "SIGTERM").await
}
