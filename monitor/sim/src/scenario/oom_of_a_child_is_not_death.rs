use super::Scenario;
use crate::world::{Act, Stage, World};
use anyhow::Result;
use std::time::Duration;

pub(super) const SCENARIO: Scenario = Scenario {
    claim: "An `oom` without `die` is information: nobody acts. With `die` it is healed.",
    stage: Stage::standard,
    tell,
};

fn tell(world: &mut World) -> Result<()> {
    world.settle()?;
    world.happens(Act::OomChild("worker-1".into()));
    world.happens(Act::OomChild("plain-1".into()));
    world.run_for(Duration::from_secs(30));
    world.nobody_acted()?;
    world.happens(Act::Kill("plain-1".into(), 10));
    world.happens(Act::Oom("plain-1".into()));
    world.run_for(Duration::from_secs(30));
    world.only_started(&["plain-1"])
}
