use super::Scenario;
use crate::world::{Act, Stage, World};
use anyhow::{Result, ensure};
use std::time::Duration;

pub(super) const SCENARIO: Scenario = Scenario {
    claim: "A leader whose beats do not come back stops using force before another starts.",
    stage: Stage::standard,
    tell,
};

fn tell(world: &mut World) -> Result<()> {
    world.settle()?;
    let old = world.the_leader()?;
    world.happens(Act::Cut(old.clone()));
    world.run_for(Duration::from_millis(3200));
    ensure!(
        world.leader().is_none(),
        "{:?} may use force",
        world.leader()
    );
    world.until("another may", Duration::from_secs(20), |w| {
        w.leader().is_some_and(|name| name != old)
    })?;
    world.happens(Act::Join(old));
    world.run_for(Duration::from_secs(30));
    ensure!(
        world.in_office().len() == 1,
        "in office: {:?}",
        world.in_office()
    );
    world.nobody_acted()
}
