use super::Scenario;
use crate::world::{Act, Stage, World};
use anyhow::{Result, ensure};
use std::time::Duration;

pub(super) const SCENARIO: Scenario = Scenario {
    claim: "The engine goes and comes with live-restore on: nobody is restarted.",
    stage: Stage::standard,
    tell,
};

fn tell(world: &mut World) -> Result<()> {
    world.settle()?;
    world.happens(Act::RestartEngine(true, 8));
    world.run_for(Duration::from_secs(90));
    world.nobody_acted()?;
    ensure!(
        world.in_office().len() == 1,
        "in office: {:?}",
        world.in_office()
    );
    Ok(())
}
