use super::Scenario;
use crate::world::{Act, Stage, World};
use anyhow::{Result, ensure};
use std::time::Duration;

pub(super) const SCENARIO: Scenario = Scenario {
    claim: "A program that ignores its stop signal runs on, silent, for the whole grace: nobody touches it.",
    stage: Stage::standard,
    tell,
};

fn tell(world: &mut World) -> Result<()> {
    world.settle()?;
    world.happens(Act::Hang("worker-1".into()));
    world.happens(Act::Stop("worker-1".into()));
    world.run_for(Duration::from_secs(60));
    world.nobody_acted()?;
    ensure!(!world.runs_now("worker-1"), "worker-1 runs");
    Ok(())
}
