use super::Scenario;
use crate::world::{Act, Stage, World};
use anyhow::Result;
use planaria_core::engine::RestartPolicy;
use std::time::Duration;

pub(super) const SCENARIO: Scenario = Scenario {
    claim: "A job with policy `no` that ends with code 0 is left; one that fails is started.",
    stage,
    tell,
};

fn stage() -> Stage {
    Stage::standard().with("plain-1", |spec| spec.policy = RestartPolicy::No)
}

fn tell(world: &mut World) -> Result<()> {
    world.settle()?;
    world.happens(Act::Crash("plain-1".into(), 0));
    world.run_for(Duration::from_secs(30));
    world.nobody_acted()?;
    world.happens(Act::Start("plain-1".into()));
    world.run_for(Duration::from_secs(30));
    world.happens(Act::Crash("plain-1".into(), 3));
    world.run_for(Duration::from_secs(30));
    world.only_started(&["plain-1"])
}
