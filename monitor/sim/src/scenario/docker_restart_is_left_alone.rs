use super::Scenario;
use crate::world::{Act, Stage, World};
use anyhow::Result;
use std::time::Duration;

pub(super) const SCENARIO: Scenario = Scenario {
    claim: "`docker restart`, twenty times, of anything: no healer acts.",
    stage: Stage::standard,
    tell,
};

fn tell(world: &mut World) -> Result<()> {
    world.settle()?;
    for round in 0..20 {
        let name = ["worker-1", "plain-1", "healer-1", "worker-2"][round % 4];
        world.happens(Act::Restart(name.into()));
        world.run_for(Duration::from_secs(5));
    }
    world.run_for(Duration::from_secs(30));
    world.nobody_acted()
}
