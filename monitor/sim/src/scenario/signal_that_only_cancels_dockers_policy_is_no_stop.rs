use super::Scenario;
use crate::world::{Act, Stage, World};
use anyhow::Result;
use std::time::Duration;

pub(super) const SCENARIO: Scenario = Scenario {
    claim: "USR1 through the engine cancels Docker's policy; the next death is healed by us.",
    stage: Stage::standard,
    tell,
};

fn tell(world: &mut World) -> Result<()> {
    world.settle()?;
    world.happens(Act::Kill("worker-1".into(), 10));
    world.run_for(Duration::from_secs(20));
    world.nobody_acted()?;
    world.happens(Act::Crash("worker-1".into(), 1));
    world.run_for(Duration::from_secs(30));
    world.only_started(&["worker-1"])
}
