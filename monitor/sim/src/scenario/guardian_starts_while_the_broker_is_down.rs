use super::Scenario;
use crate::world::{Act, Stage, World};
use anyhow::Result;
use std::time::Duration;

pub(super) const SCENARIO: Scenario = Scenario {
    claim: "Starting needs no agreement: with the broker stopped, a killed worker is started, once.",
    stage: Stage::standard,
    tell,
};

fn tell(world: &mut World) -> Result<()> {
    world.settle()?;
    world.happens(Act::Stop("rabbitmq".into()));
    world.run_for(Duration::from_secs(20));
    world.happens(Act::Kill("worker-1".into(), 9));
    world.run_for(Duration::from_secs(30));
    world.only_started(&["worker-1"])
}
