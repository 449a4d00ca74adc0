use super::Scenario;
use crate::world::{Act, Stage, World};
use anyhow::{Result, ensure};
use std::time::Duration;

pub(super) const SCENARIO: Scenario = Scenario {
    claim: "What is killed at each return is healed with back-off, then quarantined: never more than the limit in the window.",
    stage: Stage::standard,
    tell,
};

fn tell(world: &mut World) -> Result<()> {
    world.settle()?;
    for _ in 0..60 {
        world.happens(Act::Kill("plain-1".into(), 9));
        world.run_for(Duration::from_secs(2));
    }
    let count = world
        .deeds_on("plain-1")
        .iter()
        .filter(|deed| deed.verb == "start")
        .count();
    ensure!(
        (3..=11).contains(&count),
        "started {count} times in two minutes"
    );
    Ok(())
}
