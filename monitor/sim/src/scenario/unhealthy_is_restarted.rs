use super::Scenario;
use crate::world::{Act, Stage, World};
use anyhow::{Result, ensure};
use std::time::Duration;

pub(super) const SCENARIO: Scenario = Scenario {
    claim: "A plain container whose own health check says unhealthy is forced, and is left alone once it is well.",
    stage: Stage::standard,
    tell,
};

fn tell(world: &mut World) -> Result<()> {
    world.settle()?;
    world.happens(Act::Sicken("plain-1".into()));
    world.until("it was started anew", Duration::from_secs(60), |w| {
        w.lives_of("plain-1") >= 2
    })?;
    world.happens(Act::Mend("plain-1".into()));
    world.run_for(Duration::from_secs(60));
    ensure!(world.is_well("plain-1"), "plain-1 is not well");
    ensure!(
        world.deeds().all(|deed| deed.name == "plain-1"),
        "somebody else was touched"
    );
    Ok(())
}
