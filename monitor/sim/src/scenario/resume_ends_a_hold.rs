use super::Scenario;
use crate::world::member;
use crate::world::{Act, Stage, World};
use anyhow::{Result, ensure};
use planaria_core::message::Verb;
use std::time::Duration;

pub(super) const SCENARIO: Scenario = Scenario {
    claim: "A hold that a person ends early is ended for all.",
    stage: Stage::standard,
    tell,
};

fn tell(world: &mut World) -> Result<()> {
    world.settle()?;
    let at = world.follower()?;
    let names = vec![member("plain-1")];
    world.asks(
        &at,
        Verb::Hold {
            names: names.clone(),
            for_s: 600,
            reason: "maintenance".into(),
        },
    );
    world.run_for(Duration::from_secs(3));
    world.happens(Act::Kill("plain-1".into(), 9));
    world.run_for(Duration::from_secs(20));
    ensure!(
        !world.runs_now("plain-1"),
        "it was started in spite of the hold"
    );
    world.asks(&at, Verb::Resume { names });
    world.until("it runs", Duration::from_secs(10), |w| {
        w.runs_now("plain-1")
    })?;
    Ok(())
}
