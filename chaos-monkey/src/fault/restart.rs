//! A container is restarted as a person would: the engine stops it and starts it again by itself.

use super::{About, Needs, Undo};
use crate::engine::{Engine, EngineError};
use std::time::Duration;

pub(super) const ABOUT: About = About {
    name: "restart",
    what: "the engine's restart call, 5 s of grace: down for a moment, and nobody's business",
    proof: "the engine shows another life",
    undo: Undo::Start,
    needs: Needs::Engine,
    healed_by: "the engine itself",
    heals: true,
    patience: Duration::from_secs(60),
};

pub(super) async fn inject<E: Engine>(engine: &E, id: &str) -> Result<(), EngineError> {
    engine.restart(id).await
}
