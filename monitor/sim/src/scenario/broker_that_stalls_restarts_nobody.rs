use super::Scenario;
use crate::world::{Act, Stage, World};
use anyhow::Result;
use std::time::Duration;

pub(super) const SCENARIO: Scenario = Scenario {
    claim: "A broker that stands still for ten seconds and then delivers everything late has nobody restarted.",
    stage: Stage::standard,
    tell,
};

fn tell(world: &mut World) -> Result<()> {
    world.settle()?;
    for _ in 0..3 {
        world.happens(Act::Deschedule("rabbitmq".into()));
        world.run_for(Duration::from_secs(10));
        world.happens(Act::Reschedule("rabbitmq".into()));
        world.run_for(Duration::from_secs(15));
    }
    world.run_for(Duration::from_secs(30));
    world.nobody_acted()
}
