use super::Scenario;
use crate::world::{Act, Stage, World};
use anyhow::{Result, ensure};
use std::time::Duration;

pub(super) const SCENARIO: Scenario = Scenario {
    claim: "An order that comes late finds another incarnation and does nothing.",
    stage: Stage::standard,
    tell,
};

fn tell(world: &mut World) -> Result<()> {
    world.settle()?;
    world.happens(Act::SlowEngine(1500));
    world.happens(Act::Kill("worker-1".into(), 19));
    world.later(Duration::from_millis(100), Act::Kill("worker-1".into(), 9));
    world.later(Duration::from_millis(200), Act::Start("worker-1".into()));
    world.run_for(Duration::from_secs(10));
    world.happens(Act::SlowEngine(0));
    world.run_for(Duration::from_secs(60));
    ensure!(
        world.lives_of("worker-1") == 2,
        "it was started {} times",
        world.lives_of("worker-1")
    );
    ensure!(world.is_well("worker-1"), "worker-1 is not well");
    ensure!(
        world.deeds_on("worker-1").iter().all(|deed| !deed.force),
        "force was used on it"
    );
    Ok(())
}
