use super::Scenario;
use crate::world::{Act, Stage, World};
use anyhow::Result;
use std::time::Duration;

pub(super) const SCENARIO: Scenario = Scenario {
    claim: "A broker that comes and goes each 8 s does not hide a hang for ever.",
    stage: Stage::standard,
    tell,
};

fn tell(world: &mut World) -> Result<()> {
    world.settle()?;
    world.happens(Act::Hang("worker-1".into()));
    for _ in 0..12 {
        world.happens(Act::CloseConnection("healer-3".into()));
        world.happens(Act::CloseConnection("worker-2".into()));
        world.run_for(Duration::from_secs(8));
    }
    world.until("it was started anew", Duration::from_secs(60), |w| {
        w.lives_of("worker-1") >= 2
    })?;
    Ok(())
}
