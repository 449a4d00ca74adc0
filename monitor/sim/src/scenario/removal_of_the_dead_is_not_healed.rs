use super::Scenario;
use crate::world::{Act, Stage, World};
use anyhow::Result;
use std::time::Duration;

pub(super) const SCENARIO: Scenario = Scenario {
    claim: "`compose kill` and then `down`: what is gone stays gone.",
    stage: Stage::standard,
    tell,
};

fn tell(world: &mut World) -> Result<()> {
    world.settle()?;
    world.happens(Act::Remove("plain-1".into()));
    world.run_for(Duration::from_secs(90));
    world.nobody_acted()
}
