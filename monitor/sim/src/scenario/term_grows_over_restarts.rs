use super::Scenario;
use crate::world::{Act, Stage, World};
use anyhow::{Result, ensure};
use std::time::Duration;

pub(super) const SCENARIO: Scenario = Scenario {
    claim: "Terms never fall, whoever restarts, and a newcomer without a memory can lead.",
    stage: Stage::standard,
    tell,
};

fn tell(world: &mut World) -> Result<()> {
    world.settle()?;
    let mut highest = 0;
    for _ in 0..4 {
        let leader = world.the_leader()?;
        let term = world.status(&leader).map_or(0, |status| status.term);
        ensure!(term > highest, "term {term} after {highest}");
        highest = term;
        world.happens(Act::Recreate(leader.clone()));
        world.run_for(Duration::from_secs(3));
        world.until("somebody may use force", Duration::from_secs(30), |w| {
            w.leader().is_some()
        })?;
        world.run_for(Duration::from_secs(3));
    }
    world.nobody_acted()
}
