use super::Scenario;
use crate::world::{Act, Stage, World};
use anyhow::{Result, ensure};
use std::time::Duration;

pub(super) const SCENARIO: Scenario = Scenario {
    claim: "Who is stopped before it waited out its predecessor's lease spares its own successor no wait.",
    stage: Stage::standard,
    tell,
};

fn tell(world: &mut World) -> Result<()> {
    world.settle()?;
    let frozen = world.the_leader()?;
    world.happens(Act::Kill("worker-1".into(), 19));
    // Frozen with a fresh lease, then its channel is closed: the next waits, and is stopped at once.
    world.happens(Act::Deschedule(frozen.clone()));
    world.happens(Act::CloseChannel(frozen.clone()));
    world.until("another is in office", Duration::from_secs(1), |w| {
        w.in_office().iter().any(|name| *name != frozen)
    })?;
    let offices = world.in_office();
    let next = offices.iter().find(|name| **name != frozen).cloned();
    let next = next.unwrap_or_default();
    ensure!(world.leader() != Some(next.clone()), "it did not wait");
    world.happens(Act::Stop(next));
    // No two may use force while the frozen one's lease runs: the checker looks all the time.
    world.run_for(Duration::from_secs(3));
    world.happens(Act::Reschedule(frozen));
    world.until("somebody leads again", Duration::from_secs(30), |w| {
        w.leader().is_some()
    })?;
    Ok(())
}
