use super::Scenario;
use crate::world::{Act, Stage, World};
use anyhow::{Result, ensure};
use std::time::Duration;

pub(super) const SCENARIO: Scenario = Scenario {
    claim: "A member that hangs is forced once and is well again.",
    stage: Stage::standard,
    tell,
};

fn tell(world: &mut World) -> Result<()> {
    world.settle()?;
    world.happens(Act::Hang("worker-1".into()));
    world.until("it was started anew", Duration::from_secs(60), |w| {
        w.lives_of("worker-1") == 2
    })?;
    world.run_for(Duration::from_secs(60));
    ensure!(world.lives_of("worker-1") == 2, "it was restarted again");
    ensure!(world.is_well("worker-1"), "worker-1 is not well");
    ensure!(
        world.deeds().all(|deed| deed.name == "worker-1"),
        "somebody else was touched"
    );
    Ok(())
}
