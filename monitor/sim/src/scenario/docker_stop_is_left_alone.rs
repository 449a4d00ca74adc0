use super::Scenario;
use crate::world::{Act, Stage, World};
use anyhow::{Result, ensure};
use std::time::Duration;

pub(super) const SCENARIO: Scenario = Scenario {
    claim: "What a person stops stays stopped, whoever leads.",
    stage: Stage::standard,
    tell,
};

fn tell(world: &mut World) -> Result<()> {
    world.settle()?;
    world.happens(Act::Stop("worker-2".into()));
    world.happens(Act::Stop("plain-1".into()));
    world.run_for(Duration::from_secs(60));
    world.nobody_acted()?;
    let leader = world.the_leader()?;
    world.happens(Act::Stop(leader.clone()));
    world.run_for(Duration::from_secs(60));
    world.nobody_acted()?;
    ensure!(
        !world.runs_now(&leader) && !world.runs_now("worker-2"),
        "something was started"
    );
    Ok(())
}
