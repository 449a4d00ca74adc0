//! A container is taken off a network: its connections hang, nobody is told.

use super::{About, Needs, Progress, Saved, Undo};
use crate::engine::{Engine, EngineError, Found};
use crate::ledger::Attack;
use crate::target::Life;
use std::time::Duration;

pub(super) const ABOUT: About = About {
    name: "disconnect",
    what: "the engine takes the target off its first network",
    proof: "the engine lists the network no more",
    undo: Undo::Reconnect,
    needs: Needs::Engine,
    healed_by: "the leader, after PAUSE_GRACE",
    heals: true,
    patience: Duration::from_secs(45),
};

pub(super) async fn prepare<E: Engine>(
    engine: &E,
    before: &Found,
) -> Result<Option<Saved>, EngineError> {
    let networks = engine.networks(&before.id).await?;
    let first = networks.into_iter().next();
    first
        .map(Some)
        .ok_or_else(|| EngineError::Refused(format!("{} is on no network", before.name)))
}

pub(super) async fn inject<E: Engine>(engine: &E, attack: &Attack) -> Result<(), EngineError> {
    match &attack.saved {
        Some(Saved::Network { network, .. }) => engine.disconnect(&attack.container, network).await,
        _ => Ok(()),
    }
}

/// Whether it is off that network.
pub(super) async fn is_off<E: Engine>(engine: &E, attack: &Attack) -> Result<bool, EngineError> {
    let Some(Saved::Network { network, .. }) = &attack.saved else {
        return Ok(false);
    };
    let on = engine.networks(&attack.container).await?;
    Ok(!on
        .iter()
        .any(|it| matches!(it, Saved::Network { network: id, .. } if id == network)))
}

pub(super) async fn progress<E: Engine>(
    engine: &E,
    attack: &Attack,
    now: &Found,
) -> Result<Progress, EngineError> {
    Ok(match (is_off(engine, attack).await?, now.life) {
        (true, _) => Progress::Out,
        (false, Life::Well) => Progress::Back,
        (false, _) => Progress::Running,
    })
}
