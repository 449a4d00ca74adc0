use super::Scenario;
use crate::world::{Stage, World};
use anyhow::{Result, ensure};
use std::time::Duration;

pub(super) const SCENARIO: Scenario = Scenario {
    claim: "Of candidates that start together the highest name leads, by natural order.",
    stage,
    tell,
};

fn stage() -> Stage {
    Stage::of(11, 1, 1)
}

fn tell(world: &mut World) -> Result<()> {
    world.settle()?;
    world.run_for(Duration::from_secs(90));
    ensure!(
        world.leader().as_deref() == Some("healer-11"),
        "{:?} leads",
        world.leader()
    );
    for status in world.statuses() {
        ensure!(
            status
                .leader
                .as_ref()
                .is_some_and(|name| name.as_str() == "healer-11"),
            "{} says {:?}",
            status.node,
            status.leader
        );
    }
    world.nobody_acted()
}
