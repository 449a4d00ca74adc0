use super::Scenario;
use crate::world::{Act, Stage, World};
use anyhow::Result;
use std::time::Duration;

pub(super) const SCENARIO: Scenario = Scenario {
    claim: "A death during a gap of the event stream is found by the list afterwards.",
    stage: Stage::standard,
    tell,
};

fn tell(world: &mut World) -> Result<()> {
    world.settle()?;
    for name in ["healer-1", "healer-2", "healer-3"] {
        world.happens(Act::BreakStream(name.into()));
    }
    world.happens(Act::Kill("plain-1".into(), 9));
    world.until("it runs", Duration::from_secs(60), |w| {
        w.lives_of("plain-1") == 2
    })?;
    world.run_for(Duration::from_secs(30));
    world.only_started(&["plain-1"])
}
