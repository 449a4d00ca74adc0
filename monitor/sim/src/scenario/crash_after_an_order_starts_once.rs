use super::Scenario;
use crate::world::{Act, Point, Stage, World};
use anyhow::{Result, ensure};
use std::time::Duration;

pub(super) const SCENARIO: Scenario = Scenario {
    claim: "Whoever heals may end between any two steps of it: the dead one is back, and was started once.",
    stage: Stage::standard,
    tell,
};

fn tell(world: &mut World) -> Result<()> {
    let points = [Point::OrderSent, Point::CallMade, Point::Saved];
    for (dead, point) in ["worker-1", "worker-2", "plain-1"].into_iter().zip(points) {
        world.settle()?;
        let leader = world.the_leader()?;
        let (lives, leaders) = (world.lives_of(dead), world.lives_of(&leader));
        world.happens(Act::CrashAfter(leader.clone(), point));
        world.happens(Act::Kill(dead.into(), 9));
        world.until("both are back", Duration::from_secs(60), |w| {
            w.lives_of(&leader) > leaders && w.is_well(dead) && w.is_well(&leader)
        })?;
        world.run_for(Duration::from_secs(15));
        let more = world.lives_of(dead) - lives;
        ensure!(more == 1, "{dead} was started {more} times, {point:?}");
    }
    Ok(())
}
