use super::Scenario;
use crate::world::{Act, Stage, World};
use anyhow::{Result, ensure};
use std::time::Duration;

pub(super) const SCENARIO: Scenario = Scenario {
    claim: "A start that the engine takes 6 s for is not answered by force, and the container runs once.",
    stage: Stage::standard,
    tell,
};

fn tell(world: &mut World) -> Result<()> {
    world.settle()?;
    world.happens(Act::SlowEngine(6000));
    world.happens(Act::Kill("plain-1".into(), 9));
    world.run_for(Duration::from_secs(30));
    world.happens(Act::SlowEngine(0));
    world.run_for(Duration::from_secs(60));
    ensure!(
        world.lives_of("plain-1") == 2,
        "lives: {}",
        world.lives_of("plain-1")
    );
    ensure!(world.deeds().all(|deed| !deed.force), "force was used");
    Ok(())
}
