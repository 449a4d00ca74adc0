use super::Scenario;
use crate::world::{Act, Stage, World};
use anyhow::{Result, ensure};
use std::time::Duration;

pub(super) const SCENARIO: Scenario = Scenario {
    claim: "What Docker's own policy brings back is started by nobody else.",
    stage: Stage::standard,
    tell,
};

fn tell(world: &mut World) -> Result<()> {
    world.settle()?;
    for name in ["worker-1", "plain-1", "healer-1"] {
        world.happens(Act::Crash(name.into(), 1));
        world.run_for(Duration::from_secs(20));
        ensure!(
            world.lives_of(name) == 2,
            "{name} was started {} times",
            world.lives_of(name) - 1
        );
    }
    world.nobody_acted()
}
