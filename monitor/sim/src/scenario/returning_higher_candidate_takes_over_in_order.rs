use super::Scenario;
use crate::world::{Act, Stage, World};
use anyhow::{Result, ensure};
use std::time::Duration;

pub(super) const SCENARIO: Scenario = Scenario {
    claim: "A higher candidate that is back waits until it is stable, asks, and gets the office by resignation.",
    stage: Stage::standard,
    tell,
};

fn tell(world: &mut World) -> Result<()> {
    world.settle()?;
    world.run_for(Duration::from_secs(90));
    ensure!(
        world.leader().as_deref() == Some("healer-3"),
        "{:?} leads",
        world.leader()
    );
    world.happens(Act::Stop("healer-3".into()));
    world.until("healer-2 leads", Duration::from_secs(15), |w| {
        w.leader().as_deref() == Some("healer-2")
    })?;
    world.run_for(Duration::from_secs(5));
    world.happens(Act::Start("healer-3".into()));
    world.run_for(Duration::from_secs(15));
    ensure!(
        world.leader().as_deref() == Some("healer-2"),
        "it took over before it was stable"
    );
    world.until("healer-3 leads", Duration::from_secs(60), |w| {
        w.leader().as_deref() == Some("healer-3")
    })?;
    let terms = world.status("healer-3").map_or(0, |status| status.term);
    world.run_for(Duration::from_secs(120));
    ensure!(
        world
            .status("healer-3")
            .is_some_and(|status| status.term == terms),
        "the office moved again"
    );
    world.nobody_acted()
}
