use super::Scenario;
use crate::world::member;
use crate::world::{Act, Stage, World};
use anyhow::Result;
use planaria_core::message::Verb;
use std::time::Duration;

pub(super) const SCENARIO: Scenario = Scenario {
    claim: "`monitor heal NAME` starts what a person stopped.",
    stage: Stage::standard,
    tell,
};

fn tell(world: &mut World) -> Result<()> {
    world.settle()?;
    world.happens(Act::Stop("plain-1".into()));
    world.run_for(Duration::from_secs(20));
    let at = world.follower()?;
    world.asks(
        &at,
        Verb::Heal {
            name: member("plain-1"),
        },
    );
    world.until("it runs", Duration::from_secs(10), |w| w.is_well("plain-1"))?;
    Ok(())
}
