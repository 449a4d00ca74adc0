use super::Scenario;
use crate::world::{Act, Stage, World};
use anyhow::Result;
use std::time::Duration;

pub(super) const SCENARIO: Scenario = Scenario {
    claim: "The wall clock is set forth and back by an hour: nobody is restarted, a death is still healed.",
    stage: Stage::standard,
    tell,
};

fn tell(world: &mut World) -> Result<()> {
    world.settle()?;
    world.happens(Act::SetClock(3600));
    world.run_for(Duration::from_secs(20));
    world.happens(Act::SetClock(-3600));
    world.run_for(Duration::from_secs(20));
    world.nobody_acted()?;
    world.happens(Act::Kill("plain-1".into(), 9));
    world.run_for(Duration::from_secs(30));
    world.only_started(&["plain-1"])
}
