//! A container is removed: `docker rm --force`. Only where healers may make it anew.

use super::{About, Needs, Progress, Saved, Undo, Undone};
use crate::engine::{Engine, EngineError};
use crate::ledger::Attack;
use crate::target::Life;
use std::time::Duration;

pub(super) const ABOUT: About = About {
    name: "rm",
    what: "the engine removes the target by force; only one that its labels let healers make anew (planaria.recreate=true)",
    proof: "the engine knows this container no more",
    undo: Undo::Recreate,
    needs: Needs::Engine,
    healed_by: "a healer, which makes it anew after a minute",
    heals: true,
    // Healers leave the name to whoever removed it for a minute.
    patience: Duration::from_secs(120),
};

/// When a container began that never did, in the engine's words.
const NEVER: &str = "0001-";

pub(super) async fn inject<E: Engine>(engine: &E, id: &str) -> Result<(), EngineError> {
    engine.remove(id).await
}

pub(super) async fn took<E: Engine>(engine: &E, id: &str) -> Result<bool, EngineError> {
    match engine.inspect(id).await {
        Err(EngineError::Gone(_)) => Ok(true),
        Ok(_) => Ok(false),
        Err(other) => Err(other),
    }
}

/// Back when there is another one of that name.
pub(super) async fn progress<E: Engine>(
    engine: &E,
    attack: &Attack,
) -> Result<Progress, EngineError> {
    let now = match engine.inspect(&attack.target).await {
        Ok(now) => now,
        Err(EngineError::Gone(_)) => return Ok(Progress::Out),
        Err(other) => return Err(other),
    };
    Ok(match now.life {
        _ if now.id == attack.container => Progress::Out,
        Life::Well => Progress::Back,
        Life::Starting | Life::Unhealthy => Progress::Running,
        Life::Paused | Life::Restarting | Life::Down => Progress::Out,
    })
}

/// Makes it anew, as it was made, where nobody did.
pub(super) async fn undo<E: Engine>(engine: &E, attack: &Attack) -> Result<Undone, EngineError> {
    match engine.inspect(&attack.target).await {
        // An earlier try got no further than this.
        Ok(now) if now.life == Life::Down && now.started_at.starts_with(NEVER) => {
            engine.start(&now.id).await?;
            return Ok(Undone::Done);
        }
        Ok(_) => return Ok(Undone::Nothing),
        Err(EngineError::Gone(_)) => {}
        Err(other) => return Err(other),
    }
    // Nothing is removed before it is known how to make it anew: without that it was somebody else.
    let Some(Saved::Removed { file }) = &attack.saved else {
        return Ok(Undone::Gone);
    };
    let how = std::fs::read_to_string(file).map_err(|error| {
        EngineError::Refused(format!(
            "how {} was made cannot be read from {}: {error}",
            attack.target,
            file.display()
        ))
    })?;
    engine.make(&attack.target, &how).await?;
    Ok(Undone::Done)
}
