use super::Scenario;
use crate::world::{Act, Stage, World};
use anyhow::{Result, ensure};
use std::time::Duration;

pub(super) const SCENARIO: Scenario = Scenario {
    claim: "A killed leader has a successor with a higher term at once, and its container runs again.",
    stage: Stage::standard,
    tell,
};

fn tell(world: &mut World) -> Result<()> {
    world.settle()?;
    let old = world.the_leader()?;
    let term = world.status(&old).map_or(0, |status| status.term);
    world.happens(Act::Kill(old.clone(), 9));
    world.run_for(Duration::from_millis(10));
    world.until("it runs again", Duration::from_secs(2), |w| {
        w.runs_now(&old)
    })?;
    world.until("another may use force", Duration::from_secs(10), |w| {
        w.leader().is_some_and(|name| name != old)
    })?;
    let new = world.the_leader()?;
    let now = world.status(&new).map_or(0, |status| status.term);
    ensure!(now > term, "term {now} is not above {term}");
    world.run_for(Duration::from_secs(20));
    world.only_started(&[&old])
}
