use super::Scenario;
use crate::world::{Act, Stage, World};
use anyhow::{Result, ensure};
use std::time::Duration;

pub(super) const SCENARIO: Scenario = Scenario {
    claim: "A token that is lost is made anew, once, and one leads.",
    stage: Stage::standard,
    tell,
};

fn tell(world: &mut World) -> Result<()> {
    world.settle()?;
    world.happens(Act::LoseToken);
    let leader = world.the_leader()?;
    world.happens(Act::CloseConnection(leader));
    world.run_for(Duration::from_secs(60));
    ensure!(
        world.in_office().len() == 1,
        "in office: {:?}",
        world.in_office()
    );
    world.the_leader()?;
    world.nobody_acted()
}
