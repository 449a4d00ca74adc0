use super::Scenario;
use crate::world::{Act, Stage, World};
use anyhow::Result;
use std::time::Duration;

pub(super) const SCENARIO: Scenario = Scenario {
    claim: "A container that was only created is left so.",
    stage: Stage::standard,
    tell,
};

fn tell(world: &mut World) -> Result<()> {
    world.settle()?;
    world.happens(Act::Remove("plain-1".into()));
    world.run_for(Duration::from_secs(2));
    world.happens(Act::Create("plain-1".into()));
    world.run_for(Duration::from_secs(400));
    world.nobody_acted()
}
