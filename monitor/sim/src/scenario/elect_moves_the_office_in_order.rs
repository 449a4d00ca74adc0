use super::Scenario;
use crate::world::{Stage, World};
use anyhow::{Result, ensure};
use planaria_core::message::Verb;
use std::time::Duration;

pub(super) const SCENARIO: Scenario = Scenario {
    claim: "`monitor elect` makes the leader resign, and there is one leader afterwards.",
    stage: Stage::standard,
    tell,
};

fn tell(world: &mut World) -> Result<()> {
    world.settle()?;
    let at = world.follower()?;
    world.asks(&at, Verb::Elect);
    world.run_for(Duration::from_secs(10));
    ensure!(
        world.in_office().len() == 1,
        "in office: {:?}",
        world.in_office()
    );
    world.nobody_acted()
}
