use super::Scenario;
use crate::container::{Kind, Spec};
use crate::world::{Act, Stage, World};
use anyhow::Result;
use std::time::Duration;

pub(super) const SCENARIO: Scenario = Scenario {
    claim: "What `compose run` made copies all labels, and is still nobody's patient.",
    stage,
    tell,
};

fn stage() -> Stage {
    let mut stage = Stage::standard();
    let mut one = Spec::new("worker-7", Kind::Plain);
    one.labels
        .push(("com.docker.compose.oneoff".into(), "True".into()));
    stage.containers.push(one);
    stage
}

fn tell(world: &mut World) -> Result<()> {
    world.settle()?;
    world.happens(Act::Kill("worker-7".into(), 9));
    world.run_for(Duration::from_secs(30));
    world.nobody_acted()
}
