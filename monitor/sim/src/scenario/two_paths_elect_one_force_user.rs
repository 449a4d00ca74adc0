use super::Scenario;
use crate::world::{Act, Stage, World};
use anyhow::{Result, ensure};
use std::time::Duration;

pub(super) const SCENARIO: Scenario = Scenario {
    claim: "Those that lost the broker elect among themselves; that office has no force, and ends when they are back.",
    stage: Stage::standard,
    tell,
};

fn tell(world: &mut World) -> Result<()> {
    world.settle()?;
    world.happens(Act::Cut("healer-1".into()));
    world.happens(Act::Cut("healer-2".into()));
    world.run_for(Duration::from_secs(40));
    ensure!(
        world.leader().as_deref() == Some("healer-3"),
        "{:?} may use force",
        world.leader()
    );
    world.happens(Act::Stop("healer-3".into()));
    world.run_for(Duration::from_secs(30));
    ensure!(
        world.leader().is_none(),
        "{:?} uses force without the token",
        world.leader()
    );
    world.happens(Act::Join("healer-1".into()));
    world.happens(Act::Join("healer-2".into()));
    world.until("one may use force", Duration::from_secs(40), |w| {
        w.leader().is_some()
    })?;
    world.run_for(Duration::from_secs(20));
    ensure!(
        world.in_office().len() == 1,
        "in office: {:?}",
        world.in_office()
    );
    world.nobody_acted()
}
