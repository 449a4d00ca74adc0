use super::Scenario;
use crate::world::{Act, Stage, World};
use anyhow::{Result, ensure};
use std::time::Duration;

pub(super) const SCENARIO: Scenario = Scenario {
    claim: "`docker kill -s STOP`: the process in state T is found and runs again.",
    stage: Stage::standard,
    tell,
};

fn tell(world: &mut World) -> Result<()> {
    world.settle()?;
    world.happens(Act::Kill("worker-1".into(), 19));
    world.until("it is well", Duration::from_secs(60), |w| {
        w.time() > Duration::from_secs(1) && w.is_well("worker-1")
    })?;
    world.run_for(Duration::from_secs(60));
    ensure!(world.is_well("worker-1"), "worker-1 is not well");
    Ok(())
}
