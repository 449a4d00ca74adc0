use super::Scenario;
use crate::world::{Act, Stage, World};
use anyhow::{Result, ensure};
use std::time::Duration;

pub(super) const SCENARIO: Scenario = Scenario {
    claim: "A leader that was frozen with work before it wakes to find that its lease is past.",
    stage: Stage::standard,
    tell,
};

fn tell(world: &mut World) -> Result<()> {
    world.settle()?;
    let old = world.the_leader()?;
    world.happens(Act::Kill("worker-1".into(), 19));
    world.happens(Act::Kill("plain-1".into(), 9));
    world.happens(Act::Deschedule(old.clone()));
    world.run_for(Duration::from_secs(20));
    ensure!(world.runs_now("plain-1"), "nobody healed plain-1 meanwhile");
    let woke = world.time();
    world.happens(Act::Reschedule(old.clone()));
    world.run_for(Duration::from_secs(5));
    ensure!(
        world.leader().as_deref() != Some(old.as_str()),
        "{old} still leads"
    );
    let late = world
        .deeds()
        .any(|deed| deed.by == old && deed.force && Duration::from_nanos(deed.at) >= woke);
    ensure!(!late, "{old} used force after it woke");
    Ok(())
}
