use super::Scenario;
use crate::world::{Act, Stage, World};
use anyhow::Result;
use std::time::Duration;

pub(super) const SCENARIO: Scenario = Scenario {
    claim: "A start that fails is tried again with back-off until it holds.",
    stage: Stage::standard,
    tell,
};

fn tell(world: &mut World) -> Result<()> {
    world.settle()?;
    world.happens(Act::FailStarts("plain-1".into(), 2));
    world.happens(Act::Kill("plain-1".into(), 9));
    world.run_for(Duration::from_millis(100));
    world.until("it runs", Duration::from_secs(30), |w| w.is_well("plain-1"))?;
    Ok(())
}
