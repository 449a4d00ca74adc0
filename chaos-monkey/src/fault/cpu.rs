//! Hardly any processor is left for a container.

use super::{About, Needs, Saved, Undo};
use crate::engine::{Engine, EngineError, Found};
use crate::ledger::Attack;
use std::time::Duration;

/// Of one processor, where nothing else is said.
pub(super) const PERCENT: u8 = 10;

pub(super) const ABOUT: About = About {
    name: "cpu",
    what: "the engine lowers the target's share to a tenth of one processor (or percent of one)",
    proof: "the engine shows the lower limit",
    undo: Undo::Limits,
    needs: Needs::Engine,
    healed_by: "the monkey, after its time",
    heals: false,
    patience: Duration::from_secs(20),
};

pub(super) async fn prepare<E: Engine>(
    engine: &E,
    before: &Found,
) -> Result<Option<Saved>, EngineError> {
    engine.limits(&before.id).await.map(Some)
}

fn wanted(attack: &Attack) -> i64 {
    i64::from(attack.dose.percent.unwrap_or(PERCENT).max(1)) * 10_000_000
}

pub(super) async fn inject<E: Engine>(engine: &E, attack: &Attack) -> Result<(), EngineError> {
    let limits = Saved::Limits {
        nano_cpus: wanted(attack),
    };
    engine.set_limits(&attack.container, &limits).await
}

pub(super) async fn took<E: Engine>(engine: &E, attack: &Attack) -> Result<bool, EngineError> {
    let now = engine.limits(&attack.container).await?;
    Ok(now
        == Saved::Limits {
            nano_cpus: wanted(attack),
        })
}
