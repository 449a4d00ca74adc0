use super::Scenario;
use crate::world::{Act, Stage, World};
use anyhow::{Result, ensure};
use std::time::Duration;

pub(super) const SCENARIO: Scenario = Scenario {
    claim: "The broker closes the channel of a frozen leader at once: its successor waits out the lease.",
    stage: Stage::standard,
    tell,
};

fn tell(world: &mut World) -> Result<()> {
    world.settle()?;
    for _ in 0..5 {
        let leader = world.the_leader()?;
        world.happens(Act::Kill("worker-1".into(), 19));
        world.happens(Act::Deschedule(leader.clone()));
        world.run_for(Duration::from_millis(100));
        world.happens(Act::CloseChannel(leader.clone()));
        world.run_for(Duration::from_millis(800));
        world.happens(Act::Reschedule(leader));
        world.run_for(Duration::from_secs(20));
    }
    ensure!(
        world.in_office().len() == 1,
        "in office: {:?}",
        world.in_office()
    );
    Ok(())
}
