use super::Scenario;
use crate::world::{Act, Stage, World};
use anyhow::{Result, ensure};
use std::time::Duration;

pub(super) const SCENARIO: Scenario = Scenario {
    claim: "Two of three healers are killed at once: the third brings both back.",
    stage: Stage::standard,
    tell,
};

fn tell(world: &mut World) -> Result<()> {
    world.settle()?;
    world.happens(Act::Kill("healer-3".into(), 9));
    world.happens(Act::Kill("healer-2".into(), 9));
    world.run_for(Duration::from_millis(50));
    world.until("all healers run", Duration::from_secs(10), |w| {
        w.runs_now("healer-2") && w.runs_now("healer-3")
    })?;
    world.run_for(Duration::from_secs(90));
    world.only_started(&["healer-2", "healer-3"])?;
    ensure!(
        world.in_office().len() == 1,
        "in office: {:?}",
        world.in_office()
    );
    Ok(())
}
