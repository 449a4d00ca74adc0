use super::Scenario;
use crate::world::{Act, Stage, World};
use anyhow::{Result, ensure};
use planaria_core::message::MemberState;
use std::time::Duration;

pub(super) const SCENARIO: Scenario = Scenario {
    claim: "A forced recreation (old one renamed, new one created, started beside it) needs no healer and gets none.",
    stage: Stage::standard,
    tell,
};

fn tell(world: &mut World) -> Result<()> {
    world.settle()?;
    for _ in 0..5 {
        world.happens(Act::Recreate("worker-2".into()));
        world.run_for(Duration::from_secs(10));
        world.happens(Act::Recreate("plain-1".into()));
        world.run_for(Duration::from_secs(10));
    }
    world.nobody_acted()?;
    ensure!(
        world.seen("worker-2") == Some(MemberState::Alive),
        "seen as {:?}",
        world.seen("worker-2")
    );
    Ok(())
}
