use super::Scenario;
use crate::world::{Act, Stage, World};
use anyhow::Result;
use std::time::Duration;

pub(super) const SCENARIO: Scenario = Scenario {
    claim: "Many members fall silent at once while Docker says that they are well: nobody is restarted.",
    stage,
    tell,
};

fn stage() -> Stage {
    Stage::of(3, 8, 1)
}

fn tell(world: &mut World) -> Result<()> {
    world.settle()?;
    for n in 1..=6 {
        world.happens(Act::Cut(format!("worker-{n}")));
    }
    world.run_for(Duration::from_secs(60));
    world.nobody_acted()?;
    for n in 1..=6 {
        world.happens(Act::Join(format!("worker-{n}")));
    }
    world.run_for(Duration::from_secs(30));
    world.nobody_acted()
}
