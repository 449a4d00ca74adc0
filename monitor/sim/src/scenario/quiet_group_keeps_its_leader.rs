use super::Scenario;
use crate::world::{Stage, World};
use anyhow::{Result, ensure};
use std::time::Duration;

pub(super) const SCENARIO: Scenario = Scenario {
    claim: "Where nothing happens for ten minutes, nobody acts and the office stays where it is.",
    stage: Stage::standard,
    tell,
};

fn tell(world: &mut World) -> Result<()> {
    world.settle()?;
    // The highest may still have to ask for the office that a lower one took first.
    world.run_for(Duration::from_secs(60));
    let leader = world.the_leader()?;
    let term = world.status(&leader).map(|status| status.term);
    world.run_for(Duration::from_secs(600));
    world.nobody_acted()?;
    let now = world.the_leader()?;
    ensure!(now == leader, "{now} leads instead of {leader}");
    let still = world.status(&leader).map(|status| status.term);
    ensure!(still == term, "it was elected anew");
    Ok(())
}
