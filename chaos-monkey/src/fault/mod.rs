//! The faults, one file each: how it is done, how it is proven to have taken effect, how it is undone,
//! and when it counts as healed.

mod hang;
mod kill;
mod leader_kill;
mod pause;
mod stop;
mod term;

use crate::engine::{Engine, EngineError, Found};
use crate::target::{Life, Part};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// Everything that the monkey can do to a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// SIGKILL.
    Kill,
    /// SIGTERM without a `docker stop`.
    Term,
    /// `docker stop`.
    Stop,
    /// `docker pause`.
    Pause,
    /// SIGSTOP.
    Hang,
    /// SIGKILL to whoever leads.
    LeaderKill,
}

/// How a fault is taken back. Each is harmless where there is nothing to take back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Undo {
    /// Start it.
    Start,
    /// Thaw it.
    Unpause,
    /// SIGCONT.
    Continue,
}

/// What a person should know of a fault.
#[derive(Clone, Copy, Debug)]
pub struct About {
    /// Its name.
    pub name: &'static str,
    /// What is done, and by which mechanism.
    pub what: &'static str,
    /// How it is proven to have taken effect.
    pub proof: &'static str,
    /// How it is undone.
    pub undo: Undo,
    /// Who is expected to heal it.
    pub healed_by: &'static str,
    /// After so long it is undone, healed or not.
    pub patience: Duration,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Kill,
        Self::Term,
        Self::Stop,
        Self::Pause,
        Self::Hang,
        Self::LeaderKill,
    ];

    /// What a person should know.
    #[must_use]
    pub fn about(self) -> &'static About {
        match self {
            Self::Kill => &kill::ABOUT,
            Self::Term => &term::ABOUT,
            Self::Stop => &stop::ABOUT,
            Self::Pause => &pause::ABOUT,
            Self::Hang => &hang::ABOUT,
            Self::LeaderKill => &leader_kill::ABOUT,
        }
    }

    /// Its name, as `CHAOS_FAULTS` and `--fault` take it.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.about().name
    }

    /// Whom it hits where nobody is named.
    #[must_use]
    pub fn part(self) -> Option<Part> {
        (self == Self::LeaderKill).then_some(Part::Leader)
    }

    /// Does it.
    ///
    /// # Errors
    /// Where the engine did not do it; after [`EngineError::Slow`] it may have.
    pub async fn inject<E: Engine>(self, engine: &E, id: &str) -> Result<(), EngineError> {
        match self {
            Self::Kill => kill::inject(engine, id).await,
            Self::LeaderKill => leader_kill::inject(engine, id).await,
            Self::Term => term::inject(engine, id).await,
            Self::Stop => stop::inject(engine, id).await,
            Self::Pause => pause::inject(engine, id).await,
            Self::Hang => hang::inject(engine, id).await,
        }
    }

    /// Whether it took effect, compared with what was found before.
    ///
    /// # Errors
    /// Where the engine did not answer.
    pub async fn took<E: Engine>(self, engine: &E, before: &Found) -> Result<bool, EngineError> {
        match self {
            Self::Kill | Self::LeaderKill | Self::Term | Self::Stop => ended(engine, before).await,
            Self::Pause => pause::took(engine, before).await,
            Self::Hang => hang::took(engine, before).await,
        }
    }

    /// Whether the victim is back; asked only after [`Fault::took`] said yes.
    ///
    /// # Errors
    /// Where the engine did not answer.
    pub async fn progress<E: Engine>(
        self,
        engine: &E,
        before: &Found,
    ) -> Result<Progress, EngineError> {
        let now = engine.inspect(&before.id).await?;
        if self == Self::Hang && now.started_at == before.started_at && now.life != Life::Down {
            return hang::progress(engine, &now).await;
        }
        let other_life = now.started_at != before.started_at || self == Self::Pause;
        Ok(match now.life {
            Life::Well if other_life => Progress::Back,
            Life::Starting | Life::Unhealthy if other_life => Progress::Running,
            _ => Progress::Out,
        })
    }
}

/// How far a victim has come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Still out.
    Out,
    /// Its processes run; its health check has not passed yet.
    Running,
    /// Running, and healthy where it has a check.
    Back,
}

/// Ended, or already in another life.
async fn ended<E: Engine>(engine: &E, before: &Found) -> Result<bool, EngineError> {
    let now = engine.inspect(&before.id).await?;
    Ok(matches!(now.life, Life::Down | Life::Restarting) || now.started_at != before.started_at)
}

impl Undo {
    /// Takes it back. That there is nothing to take back is a success.
    ///
    /// # Errors
    /// Where the engine could not be asked.
    pub async fn run<E: Engine>(self, engine: &E, id: &str) -> Result<Undone, EngineError> {
        let life = match engine.inspect(id).await {
            Ok(found) => found.life,
            Err(EngineError::Gone(_)) => return Ok(Undone::Gone),
            Err(other) => return Err(other),
        };
        let tried = match (self, life) {
            (Self::Start, Life::Down) => engine.start(id).await,
            (Self::Unpause, Life::Paused) => engine.unpause(id).await,
            (Self::Continue, Life::Well | Life::Starting | Life::Unhealthy) => {
                let states = engine.process_states(id).await?;
                if !states.first().is_some_and(|state| state.starts_with('T')) {
                    return Ok(Undone::Nothing);
                }
                engine.kill(id, "SIGCONT").await
            }
            _ => return Ok(Undone::Nothing),
        };
        match tried {
            Ok(()) => Ok(Undone::Done),
            // Somebody else was faster between question and call, or removed it.
            Err(EngineError::Gone(_)) => Ok(Undone::Gone),
            Err(EngineError::Refused(_)) => Ok(Undone::Nothing),
            Err(other) => Err(other),
        }
    }
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

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// No fault has that name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "there is no fault {0:?}; there are kill, term, stop, pause, hang, leader-kill (see chaos-monkey faults)"
)]
pub struct NoSuchFault(pub String);

impl std::str::FromStr for Fault {
    type Err = NoSuchFault;
    fn from_str(text: &str) -> Result<Self, NoSuchFault> {
        let found = Self::ALL.into_iter().find(|fault| fault.name() == text);
        found.ok_or_else(|| NoSuchFault(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_found_by_its_name() {
        for fault in Fault::ALL {
            assert_eq!(fault.name().parse::<Fault>(), Ok(fault));
            assert_eq!(serde_json::to_value(fault).unwrap(), fault.name());
            assert!(
                NoSuchFault(String::new())
                    .to_string()
                    .contains(fault.name())
            );
        }
    }
}
