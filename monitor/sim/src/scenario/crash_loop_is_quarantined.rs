use super::Scenario;
use super::crash_loop;
use crate::world::member;
use crate::world::{Act, Stage, World};
use anyhow::{Result, ensure};
use planaria_core::message::Verb;
use std::time::Duration;

pub(super) const SCENARIO: Scenario = Scenario {
    claim: "A container that dies again and again is left down after the limit, with an alert, and released by command.",
    stage: Stage::standard,
    tell,
};

fn tell(world: &mut World) -> Result<()> {
    world.settle()?;
    crash_loop(world, "plain-1")?;
    let lives = world.lives_of("plain-1");
    world.run_for(Duration::from_secs(120));
    ensure!(
        world.lives_of("plain-1") == lives,
        "it was started in quarantine"
    );
    ensure!(
        world.alerts("quarantined") == 1,
        "{} alerts",
        world.alerts("quarantined")
    );
    world.happens(Act::Mend("plain-1".into()));
    let leader = world.the_leader()?;
    world.asks(
        &leader,
        Verb::Release {
            name: member("plain-1"),
        },
    );
    world.until("it runs", Duration::from_secs(10), |w| w.is_well("plain-1"))?;
    Ok(())
}
