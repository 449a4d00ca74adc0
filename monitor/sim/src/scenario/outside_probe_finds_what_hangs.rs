use super::Scenario;
use crate::world::{Act, Stage, World};
use anyhow::{Result, ensure};
use std::time::Duration;

pub(super) const SCENARIO: Scenario = Scenario {
    claim: "A plain container without a health check that hangs is found by its probe from outside, forced once and left alone then.",
    stage,
    tell,
};

fn stage() -> Stage {
    Stage::standard().with("plain-1", |spec| {
        spec.check = false;
        spec.labels
            .push(("planaria.probe".into(), "tcp:6379".into()));
    })
}

fn tell(world: &mut World) -> Result<()> {
    world.settle()?;
    world.run_for(Duration::from_secs(60));
    ensure!(world.deeds().next().is_none(), "what answers was touched");
    world.happens(Act::Hang("plain-1".into()));
    world.until("it was started anew", Duration::from_secs(120), |w| {
        w.lives_of("plain-1") >= 2
    })?;
    world.run_for(Duration::from_secs(60));
    ensure!(world.is_well("plain-1"), "plain-1 is not well");
    ensure!(world.lives_of("plain-1") == 2, "it was started again");
    ensure!(
        world.deeds().all(|deed| deed.name == "plain-1"),
        "somebody else was touched"
    );
    Ok(())
}
