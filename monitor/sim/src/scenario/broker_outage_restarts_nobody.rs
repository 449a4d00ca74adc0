use super::Scenario;
use crate::world::{Act, Stage, World};
use anyhow::Result;
use std::time::Duration;

pub(super) const SCENARIO: Scenario = Scenario {
    claim: "A broker that is away for a minute has nobody restarted, neither meanwhile nor when it is back.",
    stage: Stage::standard,
    tell,
};

fn tell(world: &mut World) -> Result<()> {
    world.settle()?;
    world.happens(Act::Stop("rabbitmq".into()));
    world.run_for(Duration::from_secs(60));
    world.happens(Act::Start("rabbitmq".into()));
    world.run_for(Duration::from_secs(60));
    world.nobody_acted()?;
    world.the_leader()?;
    Ok(())
}
