use super::Scenario;
use crate::world::{Act, Stage, World};
use anyhow::{Result, ensure};
use std::time::Duration;

pub(super) const SCENARIO: Scenario = Scenario {
    claim: "`compose down` of everything is answered by nothing.",
    stage: Stage::standard,
    tell,
};

fn tell(world: &mut World) -> Result<()> {
    world.settle()?;
    for name in [
        "plain-1", "plain-2", "worker-1", "worker-2", "healer-1", "healer-2", "healer-3",
        "rabbitmq",
    ] {
        world.happens(Act::Down(name.into()));
    }
    world.run_for(Duration::from_secs(60));
    world.nobody_acted()?;
    for name in ["plain-1", "worker-1", "healer-3", "rabbitmq"] {
        ensure!(world.state_of(name).is_none(), "{name} is still there");
    }
    Ok(())
}
