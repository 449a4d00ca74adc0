use super::Scenario;
use crate::world::{Act, Stage, World};
use anyhow::Result;
use std::time::Duration;

pub(super) const SCENARIO: Scenario = Scenario {
    claim: "`rm -f` and a new container of the same name: no healer acts.",
    stage: Stage::standard,
    tell,
};

fn tell(world: &mut World) -> Result<()> {
    world.settle()?;
    for _ in 0..5 {
        world.happens(Act::Remove("worker-1".into()));
        world.later(Duration::from_millis(300), Act::Create("worker-1".into()));
        world.later(Duration::from_millis(400), Act::Start("worker-1".into()));
        world.run_for(Duration::from_secs(20));
    }
    world.nobody_acted()
}
