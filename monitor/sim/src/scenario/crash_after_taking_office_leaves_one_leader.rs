use super::Scenario;
use crate::world::{Act, Point, Stage, World};
use anyhow::{Context, Result, ensure};
use std::time::Duration;

pub(super) const SCENARIO: Scenario = Scenario {
    claim: "A successor that ends with the token in its hand, before it told anybody, leaves a group that has one leader again.",
    stage: Stage::standard,
    tell,
};

fn tell(world: &mut World) -> Result<()> {
    world.settle()?;
    let leader = world.the_leader()?;
    let successor = ["healer-3", "healer-2", "healer-1"]
        .into_iter()
        .find(|name| *name != leader)
        .context("nobody succeeds")?;
    let lives = world.lives_of(successor);
    world.happens(Act::CrashAfter(successor.into(), Point::OfficeTaken));
    world.happens(Act::Kill(leader.clone(), 9));
    world.until("the successor ended too", Duration::from_secs(30), |w| {
        w.lives_of(successor) > lives
    })?;
    world.settle()?;
    ensure!(world.is_well(&leader), "{leader} is not well");
    ensure!(world.is_well(successor), "{successor} is not well");
    Ok(())
}
