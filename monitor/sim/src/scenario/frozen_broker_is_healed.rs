use super::Scenario;
use crate::world::{Act, Stage, World};
use anyhow::{Result, ensure};
use std::time::Duration;

pub(super) const SCENARIO: Scenario = Scenario {
    claim: "A broker that hangs is forced by one healer after half a minute, and nobody else is restarted.",
    stage: Stage::standard,
    tell,
};

fn tell(world: &mut World) -> Result<()> {
    world.settle()?;
    world.happens(Act::WedgeBroker);
    world.run_for(Duration::from_secs(25));
    world.nobody_acted()?;
    world.until("it was started anew", Duration::from_secs(60), |w| {
        w.lives_of("rabbitmq") == 2
    })?;
    world.run_for(Duration::from_secs(90));
    ensure!(world.lives_of("rabbitmq") == 2, "it was forced again");
    ensure!(
        world.deeds().all(|deed| deed.name == "rabbitmq"),
        "somebody else was touched"
    );
    world.the_leader()?;
    Ok(())
}
