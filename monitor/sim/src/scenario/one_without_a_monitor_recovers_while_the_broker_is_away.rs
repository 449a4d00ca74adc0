use super::Scenario;
use crate::world::{Act, Stage, World};
use anyhow::{Result, ensure};
use planaria_core::message::MemberState;
use std::time::Duration;

pub(super) const SCENARIO: Scenario = Scenario {
    claim: "What never beats is healed all the same, also while the broker is away, and is not taken for dead.",
    stage: Stage::standard,
    tell,
};

fn tell(world: &mut World) -> Result<()> {
    world.settle()?;
    world.happens(Act::Kill("rabbitmq".into(), 9));
    world.happens(Act::Kill("plain-1".into(), 9));
    world.until("it runs again", Duration::from_secs(30), |w| {
        w.runs_now("plain-1")
    })?;
    world.run_for(Duration::from_secs(120));
    ensure!(
        world.lives_of("plain-1") == 2 && world.lives_of("rabbitmq") == 2,
        "one of them was started again and again"
    );
    ensure!(
        world.seen("plain-1") != Some(MemberState::Quarantined),
        "it is in quarantine"
    );
    Ok(())
}
