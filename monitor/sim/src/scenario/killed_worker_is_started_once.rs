use super::Scenario;
use crate::world::{Act, Stage, World};
use anyhow::Result;
use std::time::Duration;

pub(super) const SCENARIO: Scenario = Scenario {
    claim: "A worker that is killed runs again within a second, started by one healer, once.",
    stage: Stage::standard,
    tell,
};

fn tell(world: &mut World) -> Result<()> {
    world.settle()?;
    world.happens(Act::Kill("worker-1".into(), 9));
    world.run_for(Duration::from_millis(10));
    world.until("worker-1 runs again", Duration::from_secs(1), |w| {
        w.runs_now("worker-1")
    })?;
    world.run_for(Duration::from_secs(60));
    world.only_started(&["worker-1"])
}
