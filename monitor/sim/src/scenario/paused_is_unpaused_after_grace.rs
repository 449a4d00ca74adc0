use super::Scenario;
use crate::world::{Act, Stage, World};
use anyhow::{Result, ensure};
use std::time::Duration;

pub(super) const SCENARIO: Scenario = Scenario {
    claim: "A pause is healed after its grace, not before.",
    stage: Stage::standard,
    tell,
};

fn tell(world: &mut World) -> Result<()> {
    world.settle()?;
    world.happens(Act::Pause("worker-1".into()));
    world.run_for(Duration::from_millis(4900));
    world.nobody_acted()?;
    world.until("it runs", Duration::from_secs(3), |w| w.is_well("worker-1"))?;
    world.run_for(Duration::from_secs(30));
    ensure!(world.lives_of("worker-1") == 1, "it was restarted");
    Ok(())
}
