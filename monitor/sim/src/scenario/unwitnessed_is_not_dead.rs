use super::Scenario;
use crate::world::{Act, Stage, World};
use anyhow::{Result, ensure};
use std::time::Duration;

pub(super) const SCENARIO: Scenario = Scenario {
    claim: "What was stopped while no healer watched is left alone, with an alert at most.",
    stage: Stage::standard,
    tell,
};

fn tell(world: &mut World) -> Result<()> {
    world.settle()?;
    for name in ["healer-1", "healer-2", "healer-3"] {
        world.happens(Act::Stop(name.into()));
    }
    world.run_for(Duration::from_secs(15));
    world.happens(Act::Stop("plain-1".into()));
    world.run_for(Duration::from_secs(15));
    for name in ["healer-1", "healer-2", "healer-3"] {
        world.happens(Act::Start(name.into()));
    }
    world.run_for(Duration::from_secs(90));
    ensure!(!world.runs_now("plain-1"), "plain-1 was started");
    world.nobody_acted()
}
