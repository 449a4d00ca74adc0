use super::Scenario;
use crate::world::{Act, Stage, World};
use anyhow::Result;
use std::time::Duration;

pub(super) const SCENARIO: Scenario = Scenario {
    claim: "What was killed while no healer watched is started once one is back, for the engine remembers.",
    stage: Stage::standard,
    tell,
};

fn tell(world: &mut World) -> Result<()> {
    world.settle()?;
    for name in ["healer-1", "healer-2", "healer-3"] {
        world.happens(Act::Stop(name.into()));
    }
    world.run_for(Duration::from_secs(15));
    world.happens(Act::Kill("plain-1".into(), 9));
    world.run_for(Duration::from_secs(5));
    for name in ["healer-1", "healer-2", "healer-3"] {
        world.happens(Act::Start(name.into()));
    }
    world.until("it runs", Duration::from_secs(60), |w| {
        w.runs_now("plain-1")
    })?;
    world.run_for(Duration::from_secs(30));
    world.only_started(&["plain-1"])
}
