use super::Scenario;
use crate::world::{Act, Stage, World};
use anyhow::Result;
use std::time::Duration;

pub(super) const SCENARIO: Scenario = Scenario {
    claim: "Five containers that die together run again within two seconds.",
    stage,
    tell,
};

fn stage() -> Stage {
    Stage::of(3, 2, 3)
}

fn tell(world: &mut World) -> Result<()> {
    world.settle()?;
    let names = ["worker-1", "worker-2", "plain-1", "plain-2", "plain-3"];
    for name in names {
        world.happens(Act::Kill(name.into(), 9));
    }
    world.run_for(Duration::from_millis(50));
    world.until("all run", Duration::from_secs(2), |w| {
        names.iter().all(|name| w.runs_now(name))
    })?;
    world.run_for(Duration::from_secs(30));
    world.only_started(&names)
}
