use super::Scenario;
use crate::world::{Act, Stage, World};
use anyhow::{Result, ensure};
use std::time::Duration;

pub(super) const SCENARIO: Scenario = Scenario {
    claim: "A member whose watchdog ends it is back, started once by Docker or by a healer.",
    stage: Stage::standard,
    tell,
};

fn tell(world: &mut World) -> Result<()> {
    world.settle()?;
    world.happens(Act::Apoptosis("worker-1".into()));
    world.run_for(Duration::from_secs(30));
    ensure!(
        world.lives_of("worker-1") == 2,
        "lives: {}",
        world.lives_of("worker-1")
    );
    ensure!(world.is_well("worker-1"), "worker-1 is not well");
    world.nobody_acted()
}
