use super::Scenario;
use crate::world::{Act, Stage, World};
use anyhow::{Result, ensure};
use std::time::Duration;

pub(super) const SCENARIO: Scenario = Scenario {
    claim: "What was removed is made anew after a minute, once, whoever leads by then, and only where its label allows it and nobody stopped it or made it anew before.",
    stage,
    tell,
};

fn stage() -> Stage {
    let label = || ("planaria.recreate".to_owned(), "true".to_owned());
    Stage::of(3, 2, 4)
        .with("plain-1", |spec| spec.labels.push(label()))
        .with("plain-2", |spec| spec.labels.push(label()))
        .with("plain-3", |spec| spec.labels.push(label()))
}

fn tell(world: &mut World) -> Result<()> {
    world.settle()?;
    world.happens(Act::Remove("plain-1".into()));
    world.happens(Act::Down("plain-2".into()));
    world.happens(Act::Remove("plain-3".into()));
    world.happens(Act::Remove("plain-4".into()));
    world.run_for(Duration::from_secs(30));
    let leader = world.the_leader()?;
    world.happens(Act::Kill(leader.clone(), 9));
    world.run_for(Duration::from_secs(25));
    world.happens(Act::Create("plain-3".into()));
    world.happens(Act::Start("plain-3".into()));
    world.until("it is made anew", Duration::from_secs(30), |w| {
        w.is_well("plain-1")
    })?;
    world.run_for(Duration::from_secs(120));
    for gone in ["plain-2", "plain-4"] {
        ensure!(world.state_of(gone).is_none(), "{gone} is there again");
    }
    let deeds: Vec<_> = world.deeds().filter(|deed| deed.name != leader).collect();
    ensure!(
        deeds.len() == 1 && deeds[0].name == "plain-1" && deeds[0].verb == "recreate",
        "{deeds:?}"
    );
    Ok(())
}
