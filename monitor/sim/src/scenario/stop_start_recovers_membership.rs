use super::Scenario;
use crate::world::{Act, Stage, World};
use anyhow::{Result, ensure};
use planaria_core::message::MemberState;
use std::time::Duration;

pub(super) const SCENARIO: Scenario = Scenario {
    claim: "A member that a person stopped and started is back in membership without a healer.",
    stage: Stage::standard,
    tell,
};

fn tell(world: &mut World) -> Result<()> {
    world.settle()?;
    world.happens(Act::Stop("worker-2".into()));
    world.run_for(Duration::from_secs(30));
    ensure!(
        world.seen("worker-2") == Some(MemberState::Left),
        "seen as {:?}",
        world.seen("worker-2")
    );
    world.happens(Act::Start("worker-2".into()));
    world.until("the leader hears it", Duration::from_secs(15), |w| {
        w.seen("worker-2") == Some(MemberState::Alive)
    })?;
    world.nobody_acted()
}
