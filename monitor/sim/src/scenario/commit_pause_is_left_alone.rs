use super::Scenario;
use crate::world::{Act, Stage, World};
use anyhow::Result;
use std::time::Duration;

pub(super) const SCENARIO: Scenario = Scenario {
    claim: "`docker commit` pauses for 135 ms: nobody unpauses.",
    stage: Stage::standard,
    tell,
};

fn tell(world: &mut World) -> Result<()> {
    world.settle()?;
    for name in ["worker-1", "plain-1", "rabbitmq"] {
        world.happens(Act::Commit(name.into()));
        world.run_for(Duration::from_secs(10));
    }
    world.nobody_acted()
}
