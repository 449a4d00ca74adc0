use super::Scenario;
use crate::world::{Act, Stage, World};
use anyhow::{Result, ensure};
use std::time::Duration;

pub(super) const SCENARIO: Scenario = Scenario {
    claim: "A member that lost the broker but answers probes is not restarted; one that does neither is.",
    stage: Stage::standard,
    tell,
};

fn tell(world: &mut World) -> Result<()> {
    world.settle()?;
    world.happens(Act::Cut("worker-1".into()));
    world.run_for(Duration::from_secs(60));
    ensure!(
        world
            .deeds()
            .all(|deed| deed.name != "worker-1" || !deed.force),
        "force on one that answers probes"
    );
    ensure!(world.lives_of("worker-1") == 1, "it was restarted");
    world.happens(Act::Join("worker-1".into()));
    world.run_for(Duration::from_secs(30));
    world.happens(Act::Hang("worker-1".into()));
    world.until("it was started anew", Duration::from_secs(60), |w| {
        w.lives_of("worker-1") == 2
    })?;
    Ok(())
}
