use super::Scenario;
use crate::world::{Act, Stage, World};
use anyhow::{Result, ensure};
use std::time::Duration;

pub(super) const SCENARIO: Scenario = Scenario {
    claim: "`docker kill -s TERM` is no stop: it is healed, a second later.",
    stage: Stage::standard,
    tell,
};

fn tell(world: &mut World) -> Result<()> {
    world.settle()?;
    world.happens(Act::Kill("plain-1".into(), 15));
    world.run_for(Duration::from_millis(200));
    let waited = world.until("it runs", Duration::from_secs(15), |w| {
        w.runs_now("plain-1")
    })?;
    ensure!(
        waited >= Duration::from_millis(800),
        "healed after {waited:?}, before a stop could be seen"
    );
    world.only_started(&["plain-1"])
}
