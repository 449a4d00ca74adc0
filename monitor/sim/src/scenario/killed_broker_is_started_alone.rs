use super::Scenario;
use crate::world::{Act, Stage, World};
use anyhow::Result;
use std::time::Duration;

pub(super) const SCENARIO: Scenario = Scenario {
    claim: "A killed broker is started by us; no other container is restarted because of the silence.",
    stage: Stage::standard,
    tell,
};

fn tell(world: &mut World) -> Result<()> {
    world.settle()?;
    world.happens(Act::Kill("rabbitmq".into(), 9));
    world.run_for(Duration::from_millis(50));
    world.until("it runs", Duration::from_secs(5), |w| {
        w.runs_now("rabbitmq")
    })?;
    world.run_for(Duration::from_secs(90));
    world.only_started(&["rabbitmq"])?;
    world.the_leader()?;
    Ok(())
}
