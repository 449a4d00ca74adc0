use super::Scenario;
use crate::world::{Act, Stage, World};
use anyhow::{Result, ensure};
use std::time::Duration;

pub(super) const SCENARIO: Scenario = Scenario {
    claim: "Connections are reset at random moments: never may two use force.",
    stage: Stage::standard,
    tell,
};

fn tell(world: &mut World) -> Result<()> {
    world.settle()?;
    for round in 0..30 {
        let leader = world.leader().unwrap_or_else(|| "healer-1".into());
        world.happens(Act::CloseConnection(leader));
        world.run_for(Duration::from_millis(137 * (round % 7 + 1)));
    }
    world.run_for(Duration::from_secs(60));
    ensure!(
        world.in_office().len() == 1,
        "in office: {:?}",
        world.in_office()
    );
    world.nobody_acted()
}
