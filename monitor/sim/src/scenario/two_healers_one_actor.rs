use super::Scenario;
use crate::world::{Act, Stage, World};
use anyhow::{Result, ensure};
use std::time::Duration;

pub(super) const SCENARIO: Scenario = Scenario {
    claim: "Three healers see the same death; one acts.",
    stage: Stage::standard,
    tell,
};

fn tell(world: &mut World) -> Result<()> {
    world.settle()?;
    let leader = world.the_leader()?;
    for name in ["worker-1", "plain-1", "plain-2"] {
        world.happens(Act::Kill(name.into(), 9));
    }
    world.run_for(Duration::from_secs(60));
    world.only_started(&["worker-1", "plain-1", "plain-2"])?;
    for deed in world.deeds() {
        ensure!(deed.by == leader, "{} acted, not the leader", deed.by);
    }
    Ok(())
}
