//! This side of a helper container: begin it, read what it says, end it.

use super::{Fault, Progress, Saved, Undone};
use crate::engine::{Engine, EngineError, Found, HelperLook, HelperWish};
use crate::helper::{Line, Task};
use crate::ledger::Attack;
use crate::target::Life;
use std::time::Duration;
use tokio::time::Instant;

/// A helper ends by itself so much later than the monkey would end it.
const SPARE_S: u64 = 10;
/// Taking back takes a helper milliseconds; its start, on a loaded machine, seconds.
const END_WITHIN: Duration = Duration::from_secs(6);
const LOOK_EVERY: Duration = Duration::from_millis(40);

/// The name of an attack's helper.
#[must_use]
pub fn name(attack: &str) -> String {
    format!("planaria-chaos-{attack}")
}

fn task(attack: &Attack) -> Task {
    Task {
        attack: attack.id.clone(),
        fault: attack.fault,
        dose: attack.dose.clone(),
        ttl_s: attack.fault.patience(&attack.dose).as_secs() + SPARE_S,
        look: false,
        revert: false,
        saved: found(attack),
    }
}

/// What a look from inside found before it was done.
fn found(attack: &Attack) -> Option<String> {
    match &attack.saved {
        Some(Saved::Helper { found, .. }) => found.clone(),
        _ => None,
    }
}

/// Looks from inside for what is needed to undo it; nothing is changed.
pub(super) async fn look<E: Engine>(engine: &E, attack: &Attack) -> Result<Saved, EngineError> {
    let Some(Saved::Helper { image, .. }) = &attack.saved else {
        return Err(EngineError::Refused(
            "the image of the helper is not known".to_owned(),
        ));
    };
    let looker = looker(&attack.id);
    let task = Task {
        look: true,
        ..task(attack)
    };
    start(engine, attack, &looker, &task).await?;
    let said = ended(engine, &looker).await?;
    engine.remove_helper(&looker).await?;
    for line in said.lines {
        match line {
            Line::Saved { saved } => {
                return Ok(Saved::Helper {
                    image: image.clone(),
                    found: Some(saved),
                });
            }
            Line::Failed { why } => return Err(EngineError::Refused(why)),
            Line::Took { .. } | Line::Reverted => {}
        }
    }
    Err(EngineError::Refused(
        "the helper ended without a word".to_owned(),
    ))
}

fn looker(attack: &str) -> String {
    format!("{}-look", name(attack))
}

async fn start<E: Engine>(
    engine: &E,
    attack: &Attack,
    name: &str,
    task: &Task,
) -> Result<(), EngineError> {
    let Some(Saved::Helper { image, .. }) = &attack.saved else {
        return Err(EngineError::Refused(
            "the image of the helper is not known".to_owned(),
        ));
    };
    let task =
        serde_json::to_string(task).map_err(|error| EngineError::Refused(error.to_string()))?;
    let wish = HelperWish {
        name: name.to_owned(),
        image: image.clone(),
        target: attack.container.clone(),
        target_name: attack.target.clone(),
        attack: attack.id.clone(),
        needs: attack.fault.about().needs,
        task,
    };
    engine.start_helper(&wish).await
}

pub(super) async fn begin<E: Engine>(engine: &E, attack: &Attack) -> Result<(), EngineError> {
    start(engine, attack, &name(&attack.id), &task(attack)).await
}

/// Whether the helper has measured the effect.
pub(super) async fn took<E: Engine>(engine: &E, attack: &Attack) -> Result<bool, EngineError> {
    let look = engine.look_at_helper(&name(&attack.id)).await?;
    for line in &look.lines {
        match line {
            Line::Took { proof } => {
                tracing::info!(
                    event = "attack_proven",
                    attack = attack.id,
                    "Attack {}: {proof}",
                    attack.id
                );
                return Ok(true);
            }
            Line::Failed { why } => return Err(EngineError::Refused(why.clone())),
            Line::Saved { .. } | Line::Reverted => {}
        }
    }
    // The kernel's kill takes the helper along with the first process; the engine will say so.
    if look.exit.is_some() && attack.fault != Fault::Oom {
        return Err(EngineError::Refused(
            "the helper ended without a word".to_owned(),
        ));
    }
    Ok(false)
}

/// In the same life: as long as the helper is there the fault is.
pub(super) async fn progress<E: Engine>(
    engine: &E,
    attack: &Attack,
    now: &Found,
) -> Result<Progress, EngineError> {
    let ended = match engine.look_at_helper(&name(&attack.id)).await {
        Ok(look) => look.exit.is_some(),
        Err(EngineError::Gone(_)) => true,
        Err(other) => return Err(other),
    };
    Ok(match (ended, now.life) {
        (true, Life::Well) => Progress::Back,
        (true, Life::Starting | Life::Unhealthy) => Progress::Running,
        _ => Progress::Out,
    })
}

/// Ends the helper; one that did not end in order is followed by another that takes back what is left.
pub(super) async fn end<E: Engine>(
    engine: &E,
    attack: &Attack,
    life: Life,
) -> Result<Undone, EngineError> {
    let own = name(&attack.id);
    let first = match engine.look_at_helper(&own).await {
        Ok(look) if look.exit.is_none() => {
            match engine.kill(&own, "SIGTERM").await {
                // It may have ended by itself just now.
                Ok(()) | Err(EngineError::Refused(_) | EngineError::Gone(_)) => {}
                Err(other) => return Err(other),
            }
            Some(ended(engine, &own).await?)
        }
        Ok(look) => Some(look),
        Err(EngineError::Gone(_)) => None,
        Err(other) => return Err(other),
    };
    let in_order = first.as_ref().is_some_and(|look| look.exit == Some(0));
    let runs = !matches!(life, Life::Down | Life::Restarting);
    let begun = begun(attack);
    if !in_order && begun && runs {
        take_back(engine, attack, first.as_ref()).await?;
    } else if !in_order && begun && attack.fault.leaves_files() {
        // Nobody can look into it now, and what is on its disk outlives it. What must be known is in the ledger.
        remove(engine, attack).await?;
        return Err(EngineError::Refused(format!(
            "{} does not run, so what was changed in it cannot be taken back yet",
            attack.target
        )));
    }
    remove(engine, attack).await?;
    if attack.fault == Fault::Oom && life == Life::Down {
        engine.start(&attack.container).await?;
    }
    Ok(if first.is_some() {
        Undone::Done
    } else {
        Undone::Nothing
    })
}

/// The target does not exist any more, and took its helper along; what is left of it is removed. Files may be in a
/// volume, and so in the target's successor.
pub(super) async fn gone<E: Engine>(engine: &E, attack: &Attack) -> Result<Undone, EngineError> {
    remove(engine, attack).await?;
    if !attack.fault.leaves_files() || !begun(attack) {
        return Ok(Undone::Gone);
    }
    match engine.inspect(&attack.target).await {
        Ok(new) => {
            let there = Attack {
                container: new.id,
                ..attack.clone()
            };
            end(engine, &there, new.life).await.map(|_| Undone::Done)
        }
        // The successor may come yet. A file that only takes room and time is not waited for.
        Err(EngineError::Gone(_)) if attack.fault.looks_first() => {
            Err(EngineError::Refused(format!(
                "{} was removed and is not there anew; where its files are in a volume, they are still changed",
                attack.target
            )))
        }
        Err(EngineError::Gone(_)) => Ok(Undone::Gone),
        Err(other) => Err(other),
    }
}

/// Where the look found nothing, nothing was begun.
fn begun(attack: &Attack) -> bool {
    !attack.fault.looks_first() || found(attack).is_some()
}

/// Waits for the end of a helper.
async fn ended<E: Engine>(engine: &E, name: &str) -> Result<HelperLook, EngineError> {
    let until = Instant::now() + END_WITHIN;
    loop {
        let look = engine.look_at_helper(name).await?;
        if look.exit.is_some() {
            return Ok(look);
        }
        if Instant::now() > until {
            return Err(EngineError::Slow);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// A second helper takes back what the first one left.
async fn take_back<E: Engine>(
    engine: &E,
    attack: &Attack,
    first: Option<&HelperLook>,
) -> Result<(), EngineError> {
    let saved = first.and_then(|look| {
        look.lines.iter().find_map(|line| match line {
            Line::Saved { saved } => Some(saved.clone()),
            _ => None,
        })
    });
    let saved = saved.or_else(|| found(attack));
    let second = format!("{}-undo", name(&attack.id));
    let task = Task {
        revert: true,
        saved,
        ..task(attack)
    };
    engine.remove_helper(&second).await?;
    start(engine, attack, &second, &task).await?;
    let look = ended(engine, &second).await?;
    let said = look.lines.iter().find_map(|line| match line {
        Line::Failed { why } => Some(why.clone()),
        _ => None,
    });
    engine.remove_helper(&second).await?;
    match (look.exit, said) {
        (Some(0), _) => Ok(()),
        (_, said) => Err(EngineError::Refused(
            said.unwrap_or_else(|| "the helper failed".to_owned()),
        )),
    }
}

pub(super) async fn remove<E: Engine>(engine: &E, attack: &Attack) -> Result<(), EngineError> {
    if attack.fault.looks_first() {
        // Its monkey may have been killed while it looked.
        engine.remove_helper(&looker(&attack.id)).await?;
    }
    engine.remove_helper(&name(&attack.id)).await
}
