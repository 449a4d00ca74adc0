//! A container is stopped as a person would: it must be left alone, so the monkey undoes it by itself.

use super::{About, Needs, Undo};
use crate::engine::{Engine, EngineError};
use std::time::Duration;

pub(super) const ABOUT: About = About {
    name: "stop",
    what: "the engine's stop call, 5 s of grace: looks like a person's will, so nobody may heal it",
    proof: "the engine says that this life has ended",
    undo: Undo::Start,
    needs: Needs::Engine,
    healed_by: "the monkey itself, after 15 s",
    heals: false,
    patience: Duration::from_secs(15),
};

pub(super) async fn inject<E: Engine>(engine: &E, id: &str) -> Result<(), EngineError> {
    engine.stop(id).await
}
