use super::Scenario;
use crate::world::{Act, Stage, World};
use anyhow::{Result, ensure};
use std::time::Duration;

pub(super) const SCENARIO: Scenario = Scenario {
    claim: "The engine goes down without live-restore: all come back once, what was stopped stays stopped.",
    stage: Stage::standard,
    tell,
};

fn tell(world: &mut World) -> Result<()> {
    world.settle()?;
    world.happens(Act::Stop("plain-2".into()));
    world.run_for(Duration::from_secs(30));
    world.happens(Act::RestartEngine(false, 5));
    world.run_for(Duration::from_secs(120));
    for name in [
        "rabbitmq", "healer-1", "healer-2", "healer-3", "worker-1", "worker-2", "plain-1",
    ] {
        ensure!(world.is_well(name), "{name} is not well");
        ensure!(
            world.lives_of(name) == 2,
            "{name} was started {} times",
            world.lives_of(name)
        );
    }
    ensure!(!world.runs_now("plain-2"), "plain-2 was started");
    world.nobody_acted()
}
