use super::Scenario;
use crate::world::{Act, Stage, World};
use anyhow::{Result, ensure};
use planaria_core::message::MemberState;
use std::time::Duration;

pub(super) const SCENARIO: Scenario = Scenario {
    claim: "A crash loop that several leaders count gets its limit and no more, and one alert.",
    stage: Stage::standard,
    tell,
};

/// From the moment that the leader says so to its end: before its beat is out, before that is back, later.
const MOMENTS_US: [u64; 5] = [0, 400, 1500, 4000, 300_000];

fn tell(world: &mut World) -> Result<()> {
    world.settle()?;
    let limit = u64::from(world.stage.settings.restart_limit);
    for (index, moment) in MOMENTS_US.into_iter().enumerate() {
        let name = ["plain-1", "plain-2"][index % 2];
        let (lives, told) = (world.lives_of(name), world.alerts("quarantined"));
        world.happens(Act::CrashLoop(name.to_owned(), 300));
        world.until("two restarts", Duration::from_secs(30), |w| {
            w.lives_of(name) >= lives + 2
        })?;
        // The one who counted so far is gone.
        let leader = world.the_leader()?;
        world.happens(Act::Kill(leader, 9));
        let quarantined = |w: &World| w.seen(name) == Some(MemberState::Quarantined);
        while !quarantined(world) {
            ensure!(world.step(), "nothing happens any more");
        }
        // And the one who put it there.
        world.run_for(Duration::from_micros(moment));
        let leader = world.the_leader()?;
        world.happens(Act::Kill(leader, 9));
        world.run_for(Duration::from_secs(45));
        ensure!(quarantined(world), "seen as {:?}", world.seen(name));
        let (lives, told) = (
            world.lives_of(name) - lives,
            world.alerts("quarantined") - told,
        );
        ensure!(lives == limit, "{lives} restarts, not {limit}");
        ensure!(
            told == 1,
            "{told} alerts {moment} µs after the quarantine, not one"
        );
        world.happens(Act::Mend(name.to_owned()));
        world.happens(Act::Start(name.to_owned()));
        world.run_for(Duration::from_secs(60));
    }
    Ok(())
}
