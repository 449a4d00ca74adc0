use super::Scenario;
use crate::world::{Act, Stage, World};
use anyhow::{Result, ensure};
use std::time::Duration;

pub(super) const SCENARIO: Scenario = Scenario {
    claim: "`monitor watch` alone starts what was killed and forces what is unhealthy, and leaves what was stopped.",
    stage,
    tell,
};

/// The one that watches belongs to no group: its patients carry no group label.
fn stage() -> Stage {
    Stage::solo()
}

fn tell(world: &mut World) -> Result<()> {
    world.settle()?;
    world.happens(Act::Kill("plain-1".into(), 9));
    world.run_for(Duration::from_secs(30));
    world.only_started(&["plain-1"])?;
    world.happens(Act::Sicken("plain-2".into()));
    world.until("it was started anew", Duration::from_secs(60), |w| {
        w.lives_of("plain-2") >= 2
    })?;
    world.happens(Act::Mend("plain-2".into()));
    world.run_for(Duration::from_secs(30));
    world.happens(Act::Stop("plain-1".into()));
    world.run_for(Duration::from_secs(60));
    ensure!(!world.runs_now("plain-1"), "plain-1 was started");
    Ok(())
}
