use super::Scenario;
use crate::world::{Act, Stage, World};
use anyhow::{Result, ensure};
use std::time::Duration;

pub(super) const SCENARIO: Scenario = Scenario {
    claim: "A leader that is stopped resigns; its successor needs no lease of waiting.",
    stage: Stage::standard,
    tell,
};

fn tell(world: &mut World) -> Result<()> {
    world.settle()?;
    let old = world.the_leader()?;
    world.happens(Act::Stop(old.clone()));
    let waited = world.until("another may use force", Duration::from_secs(2), |w| {
        w.leader().is_some_and(|name| name != old)
    })?;
    ensure!(waited < Duration::from_secs(2), "{waited:?}");
    world.run_for(Duration::from_secs(30));
    world.nobody_acted()
}
