use super::Scenario;
use crate::world::{Act, Stage, World};
use anyhow::{Result, ensure};
use std::time::Duration;

pub(super) const SCENARIO: Scenario = Scenario {
    claim: "A paused broker is unpaused after the grace, and nobody else is touched.",
    stage: Stage::standard,
    tell,
};

fn tell(world: &mut World) -> Result<()> {
    world.settle()?;
    world.happens(Act::Pause("rabbitmq".into()));
    world.run_for(Duration::from_secs(4));
    world.nobody_acted()?;
    world.until("it runs", Duration::from_secs(10), |w| {
        w.is_well("rabbitmq")
    })?;
    world.run_for(Duration::from_secs(60));
    ensure!(
        world
            .deeds()
            .all(|deed| deed.name == "rabbitmq" && deed.verb == "unpause"),
        "more was done"
    );
    world.the_leader()?;
    Ok(())
}
