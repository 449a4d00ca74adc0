use super::Scenario;
use crate::world::{Act, Stage, World};
use anyhow::Result;
use planaria_core::message::MemberState;
use std::time::Duration;

pub(super) const SCENARIO: Scenario = Scenario {
    claim: "A new leader has heard every member within two of their intervals.",
    stage: Stage::standard,
    tell,
};

fn tell(world: &mut World) -> Result<()> {
    world.settle()?;
    let old = world.the_leader()?;
    world.happens(Act::Stop(old.clone()));
    world.until("another leads and hears all", Duration::from_secs(8), |w| {
        w.leader().is_some_and(|name| name != old)
            && w.seen("worker-1") == Some(MemberState::Alive)
            && w.seen("worker-2") == Some(MemberState::Alive)
    })?;
    world.run_for(Duration::from_secs(30));
    world.nobody_acted()
}
