//! A container is removed: `docker rm --force`. Only where healers may make it anew.

use super::{About, Needs, Progress, Saved, Undo, Undone, helper};
use crate::engine::{Engine, EngineError, Found};
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

/// How it was made; `None`: nothing was removed, for that is known before.
fn how_made(attack: &Attack) -> Result<Option<String>, EngineError> {
    let Some(Saved::Removed { file }) = &attack.saved else {
        return Ok(None);
    };
    let how = std::fs::read_to_string(file).map_err(|error| {
        EngineError::Refused(format!(
            "how {} was made cannot be read from {}: {error}",
            attack.target,
            file.display()
        ))
    })?;
    Ok(Some(how))
}

/// Makes it anew, as it was made, where nobody did.
pub(super) async fn undo<E: Engine>(engine: &E, attack: &Attack) -> Result<Undone, EngineError> {
    let aside = format!("{}-anew", helper::name(&attack.id));
    // An earlier try got no further than this: it lacks networks.
    engine.remove_helper(&aside).await?;
    let now = match engine.inspect(&attack.target).await {
        Ok(now) => Some(now),
        Err(EngineError::Gone(_)) => None,
        Err(other) => return Err(other),
    };
    let never_started = |now: &Found| now.life == Life::Down && now.started_at.starts_with(NEVER);
    if now.as_ref().is_some_and(|now| !never_started(now)) {
        return Ok(Undone::Nothing);
    }
    let Some(how) = how_made(attack)? else {
        // It was somebody else.
        return Ok(now.map_or(Undone::Gone, |_| Undone::Nothing));
    };
    match now {
        // Whole, so ours of an earlier try, or as good.
        Some(now) if engine.has_networks(&now.id, &how).await? => engine.start(&now.id).await?,
        Some(_) => {
            return Err(EngineError::Refused(format!(
                "somebody made {} with other networks and never started it; start it, or remove it",
                attack.target
            )));
        }
        None => engine.make(&attack.target, &aside, &how).await?,
    }
    Ok(Undone::Done)
}
