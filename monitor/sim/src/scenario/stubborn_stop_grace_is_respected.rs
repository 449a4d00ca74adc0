use super::Scenario;
use crate::world::{Act, Stage, World};
use anyhow::{Result, ensure};
use std::time::Duration;

pub(super) const SCENARIO: Scenario = Scenario {
    claim: "A program that ignores its stop signal runs on, silent, for the whole grace: nobody touches it.",
    stage,
    tell,
};

fn stage() -> Stage {
    Stage::standard().with("plain-1", |spec| spec.stubborn = true)
}

fn tell(world: &mut World) -> Result<()> {
    world.settle()?;
    world.happens(Act::Hang("worker-1".into()));
    world.happens(Act::Stop("worker-1".into()));
    world.happens(Act::Stop("plain-1".into()));
    world.run_for(Duration::from_secs(9));
    ensure!(
        world.runs_now("plain-1"),
        "plain-1 is not as stubborn as it should be"
    );
    world.run_for(Duration::from_secs(60));
    world.nobody_acted()?;
    ensure!(
        !world.runs_now("worker-1") && !world.runs_now("plain-1"),
        "something runs"
    );
    Ok(())
}
