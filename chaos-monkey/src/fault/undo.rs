//! How a fault is taken back. Each way is harmless where there is nothing to take back.

use super::{Saved, helper};
use crate::engine::{Engine, EngineError};
use crate::ledger::Attack;
use crate::target::Life;
use serde::{Deserialize, Serialize};

/// How a fault is taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Undo {
    /// Start it.
    Start,
    /// Thaw it.
    Unpause,
    /// SIGCONT.
    Continue,
    /// Back on its network, with its names and address.
    Reconnect,
    /// Its limits as they were.
    Limits,
    /// Made anew, as it was made.
    Recreate,
    /// Nothing is left of it when it is done.
    Nothing,
    /// The helper container undoes it, or another one in its place.
    Helper,
}

/// What undoing came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Undone {
    /// It was taken back.
    Done,
    /// There was nothing to take back: others had healed it.
    Nothing,
    /// The container does not exist any more.
    Gone,
}

impl Undo {
    /// Takes an attack back. That there is nothing to take back is a success.
    ///
    /// # Errors
    /// Where the engine could not be asked.
    pub async fn run<E: Engine>(self, engine: &E, attack: &Attack) -> Result<Undone, EngineError> {
        if self == Self::Recreate {
            return super::rm::undo(engine, attack).await;
        }
        let id = attack.container.as_str();
        let life = match engine.inspect(id).await {
            Ok(found) => found.life,
            Err(EngineError::Gone(_)) => {
                return match self {
                    Self::Helper => helper::gone(engine, attack).await,
                    _ => Ok(Undone::Gone),
                };
            }
            Err(other) => return Err(other),
        };
        let tried = match (self, life, &attack.saved) {
            (Self::Start, Life::Down, _) => engine.start(id).await,
            (Self::Unpause, Life::Paused, _) => engine.unpause(id).await,
            (Self::Continue, Life::Well | Life::Starting | Life::Unhealthy, _) => {
                let states = engine.process_states(id).await?;
                if !states.first().is_some_and(|state| state.starts_with('T')) {
                    return Ok(Undone::Nothing);
                }
                engine.kill(id, "SIGCONT").await
            }
            (Self::Reconnect, _, Some(saved)) => {
                if !super::disconnect::is_off(engine, attack).await? {
                    return Ok(Undone::Nothing);
                }
                engine.connect(id, saved).await
            }
            (Self::Limits, _, Some(before @ Saved::Limits { .. })) => {
                if engine.limits(id).await? == *before {
                    return Ok(Undone::Nothing);
                }
                engine.set_limits(id, before).await
            }
            (Self::Helper, ..) => return helper::end(engine, attack, life).await,
            _ => return Ok(Undone::Nothing),
        };
        match tried {
            Ok(()) => Ok(Undone::Done),
            // Somebody else was faster between question and call, or removed it.
            Err(EngineError::Gone(_)) => Ok(Undone::Gone),
            Err(EngineError::Refused(_)) if !matches!(self, Self::Limits | Self::Reconnect) => {
                Ok(Undone::Nothing)
            }
            Err(other) => Err(other),
        }
    }
}
