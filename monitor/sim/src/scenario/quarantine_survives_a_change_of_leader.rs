use super::Scenario;
use super::crash_loop;
use crate::world::{Act, Stage, World};
use anyhow::{Result, ensure};
use planaria_core::message::MemberState;
use std::time::Duration;

pub(super) const SCENARIO: Scenario = Scenario {
    claim: "A new leader does not forget who is in quarantine.",
    stage: Stage::standard,
    tell,
};

fn tell(world: &mut World) -> Result<()> {
    world.settle()?;
    crash_loop(world, "plain-1")?;
    let lives = world.lives_of("plain-1");
    for _ in 0..3 {
        let leader = world.the_leader()?;
        world.happens(Act::Kill(leader, 9));
        world.run_for(Duration::from_secs(25));
        ensure!(
            world.lives_of("plain-1") == lives,
            "it was started in quarantine"
        );
    }
    ensure!(
        world.seen("plain-1") == Some(MemberState::Quarantined),
        "seen as {:?}",
        world.seen("plain-1")
    );
    Ok(())
}
