use super::Scenario;
use crate::world::{Act, Stage, World};
use anyhow::{Result, ensure};
use std::time::Duration;

pub(super) const SCENARIO: Scenario = Scenario {
    claim: "Of two that die together the one that the other depends on comes first; where it cannot come, the other comes without it.",
    stage,
    tell,
};

fn stage() -> Stage {
    Stage::standard().with("plain-2", |spec| {
        spec.labels
            .push(("planaria.depends-on".into(), "plain-1".into()));
    })
}

fn tell(world: &mut World) -> Result<()> {
    world.settle()?;
    world.happens(Act::Kill("plain-2".into(), 9));
    world.happens(Act::Kill("plain-1".into(), 9));
    world.run_for(Duration::from_secs(20));
    let order: Vec<_> = world.deeds().map(|deed| deed.name.as_str()).collect();
    ensure!(order == ["plain-1", "plain-2"], "in this order: {order:?}");
    world.run_for(Duration::from_secs(60));
    world.happens(Act::FailStarts("plain-1".into(), 100));
    world.happens(Act::Kill("plain-2".into(), 9));
    world.happens(Act::Kill("plain-1".into(), 9));
    world.run_for(Duration::from_secs(1));
    ensure!(!world.runs_now("plain-2"), "it did not wait at all");
    world.until("it came alone", Duration::from_secs(45), |w| {
        w.runs_now("plain-2")
    })?;
    ensure!(!world.runs_now("plain-1"), "plain-1 could not come");
    Ok(())
}
