//! The first process is stopped in its tracks: for the engine it runs, but it does nothing any more.

use super::{About, Needs, Progress, Undo};
use crate::engine::{Engine, EngineError, Found};
use crate::target::Life;
use std::time::Duration;

pub(super) const ABOUT: About = About {
    name: "hang",
    what: "SIGSTOP to the first process, by the engine's kill call: it runs for the engine, and does nothing",
    proof: "the kernel shows its state as T (stopped)",
    undo: Undo::Continue,
    needs: Needs::Engine,
    healed_by: "the leader: silence and a failed probe, or its failing health check",
    heals: true,
    patience: Duration::from_secs(60),
};

pub(super) async fn inject<E: Engine>(engine: &E, id: &str) -> Result<(), EngineError> {
    engine.kill(id, "SIGSTOP").await
}

pub(super) async fn took<E: Engine>(engine: &E, before: &Found) -> Result<bool, EngineError> {
    is_stopped(engine, &before.id).await
}

/// In the same life: back as soon as it was told to go on.
pub(super) async fn progress<E: Engine>(engine: &E, now: &Found) -> Result<Progress, EngineError> {
    Ok(match (is_stopped(engine, &now.id).await?, now.life) {
        (true, _) => Progress::Out,
        (false, Life::Well) => Progress::Back,
        (false, _) => Progress::Running,
    })
}

async fn is_stopped<E: Engine>(engine: &E, id: &str) -> Result<bool, EngineError> {
    let states = engine.process_states(id).await?;
    Ok(states.first().is_some_and(|state| state.starts_with('T')))
}
