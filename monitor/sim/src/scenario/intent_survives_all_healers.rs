use super::Scenario;
use crate::world::{Act, Stage, World};
use anyhow::{Result, ensure};
use std::time::Duration;

pub(super) const SCENARIO: Scenario = Scenario {
    claim: "What a person stopped stays stopped when every healer is replaced by one that saw nothing.",
    stage: Stage::standard,
    tell,
};

fn tell(world: &mut World) -> Result<()> {
    world.settle()?;
    world.happens(Act::Stop("plain-1".into()));
    world.run_for(Duration::from_secs(20));
    for name in ["healer-1", "healer-2", "healer-3"] {
        world.happens(Act::Kill(name.into(), 9));
        world.run_for(Duration::from_secs(20));
    }
    world.run_for(Duration::from_secs(60));
    ensure!(!world.runs_now("plain-1"), "plain-1 was started");
    Ok(())
}
