//! The leader dies in office: `kill`, aimed at whoever leads at that moment.

use super::{About, Needs, Undo, kill};
use crate::engine::{Engine, EngineError};
use std::time::Duration;

pub(super) const ABOUT: About = About {
    name: "leader-kill",
    what: "SIGKILL to whoever leads, by the engine's kill call",
    proof: "the engine says that this life has ended",
    undo: Undo::Start,
    needs: Needs::Engine,
    healed_by: "its successor, which starts it",
    heals: true,
    patience: Duration::from_secs(60),
};

pub(super) async fn inject<E: Engine>(engine: &E, id: &str) -> Result<(), EngineError> {
    kill::inject(engine, id).await
}
