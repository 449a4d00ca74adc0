use super::Scenario;
use crate::world::member;
use crate::world::{Act, Stage, World};
use anyhow::{Result, ensure};
use planaria_core::message::Verb;
use std::time::Duration;

pub(super) const SCENARIO: Scenario = Scenario {
    claim: "What is on hold is not touched, whoever leads, until the hold ends by itself.",
    stage: Stage::standard,
    tell,
};

fn tell(world: &mut World) -> Result<()> {
    world.settle()?;
    let at = world.follower()?;
    world.asks(
        &at,
        Verb::Hold {
            names: vec![member("worker-1"), member("plain-1")],
            for_s: 90,
            reason: "maintenance".into(),
        },
    );
    world.run_for(Duration::from_secs(5));
    ensure!(
        world.ledger.answers().all(|answer| answer.accepted),
        "the hold was refused"
    );
    world.happens(Act::Kill("plain-1".into(), 9));
    let leader = world.the_leader()?;
    world.happens(Act::Kill(leader.clone(), 9));
    world.run_for(Duration::from_secs(60));
    ensure!(world.deeds_on("plain-1").is_empty(), "it was touched");
    world.run_for(Duration::from_secs(60));
    ensure!(world.runs_now("plain-1"), "the hold never ended");
    Ok(())
}
