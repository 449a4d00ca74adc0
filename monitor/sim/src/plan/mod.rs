//! Disasters at random: each seed enables some kinds of fault (swarm testing), throws them for a while,
//! then everything is mended, and what should live must live again within a bound.
//!
//! What a seed throws is written down as a [`Plan`]: the same acts at the same times give the same story,
//! also where some of them are left out ([`shrink`]).

mod shrink;
mod throw;

pub use shrink::{Shrunk, shrink};

use crate::check::Violation;
use crate::clock::S;
use crate::container::{Kind, Spec};
use crate::sabotage::Sabotage;
use crate::world::{Act, Event, Stage, World};
use planaria_core::engine::RestartPolicy;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use throw::{FAULTS, Fault, permitted, throw};

/// After the last fault everything is as it should be within this: the longest back-off (60 s), a
/// challenge after two spans of stability (30 s each), an election and a few probes.
pub const HEALS_WITHIN: Duration = Duration::from_secs(180);

/// The container of every random world that nobody is to bring back after a clean end.
const MODEST: &str = "plain-9";

/// How one seed ended.
#[derive(Debug)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// Hash of everything that happened.
    pub hash: u64,
    /// How many events were handled.
    pub events: u64,
    /// How much time was simulated.
    pub time: Duration,
    /// What was broken.
    pub violations: Vec<Violation>,
    /// The story, where it was asked for.
    pub story: Vec<String>,
    /// What healers did.
    pub deeds: usize,
    /// What was thrown.
    pub plan: Plan,
}

/// What stands, what happens to it and when: a whole disaster, written down.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// The world's own randomness: delays, losses, boot ids.
    pub seed: u64,
    /// The containers, by name: `healer-N`, `worker-N`, `plain-N`, `rabbitmq`.
    pub stage: Vec<String>,
    /// What happens, oldest first.
    pub acts: Vec<Planned>,
    /// When everything is mended, in simulated nanoseconds.
    pub mended_at: u64,
}

/// One act of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Planned {
    /// When, in simulated nanoseconds.
    pub at: u64,
    /// It is the end of what an earlier act began: nothing forbids it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub follows: bool,
    /// What.
    pub act: Act,
}

impl Plan {
    fn stage(&self) -> Stage {
        let kind = |name: &str| match name.split('-').next() {
            Some("rabbitmq") => Kind::Broker,
            Some("healer") => Kind::Healer,
            Some("worker") => Kind::Member,
            _ => Kind::Plain,
        };
        let mut stage = Stage::of(0, 0, 0);
        stage.containers = self
            .stage
            .iter()
            .map(|name| {
                let mut spec = Spec::new(name, kind(name));
                if name == MODEST {
                    spec.policy = RestartPolicy::No;
                }
                spec
            })
            .collect();
        stage
    }

    /// Runs it from the first container to the last check.
    #[must_use]
    pub fn run(&self, trace: bool, sabotage: Option<Sabotage>) -> Report {
        let mut stage = self.stage();
        stage.trace = trace;
        stage.sabotage = sabotage;
        let mut world = World::new(self.seed, stage);
        let (during, after): (Vec<_>, Vec<_>) = self
            .acts
            .iter()
            .partition(|planned| planned.at <= self.mended_at);
        for planned in during {
            world.run_to(planned.at);
            if planned.follows || permitted(&world, &planned.act) {
                world.happens(planned.act.clone());
            }
        }
        world.run_to(self.mended_at);
        // The end of what a fault began may come after everything else was mended.
        for planned in after {
            world.at(planned.at, Event::Act(planned.act.clone()));
        }
        end(&mut world);
        let mut report = report(self.seed, &world);
        report.plan = self.clone();
        report
    }
}

/// Runs one seed from the first container to the last check.
#[must_use]
pub fn run_seed(seed: u64, trace: bool, sabotage: Option<Sabotage>) -> Report {
    // The plan has a source of its own: a change in the world does not change what is thrown at it.
    let mut dice = SmallRng::seed_from_u64(seed ^ 0x5eed_5eed_5eed_5eed);
    let stage = Stage::of(
        dice.random_range(2..=3),
        dice.random_range(1..=3),
        dice.random_range(1..=2),
    );
    let mut plan = Plan {
        seed,
        stage: stage.containers.into_iter().map(|spec| spec.name).collect(),
        ..Plan::default()
    };
    plan.stage.push(MODEST.to_owned());
    let mut stage = plan.stage();
    stage.trace = trace;
    stage.sabotage = sabotage;
    let mut world = World::new(seed, stage);
    world.script = Some(Vec::new());
    let share = dice.random_range(5..=40);
    let enabled: Vec<Fault> = FAULTS
        .iter()
        .copied()
        .filter(|_| dice.random_range(0..100) < share)
        .collect();
    world.run_for(Duration::from_secs(dice.random_range(5..40)));
    let end_at = world.now + dice.random_range(30..120) * S;
    let pace = dice.random_range(500..10_000);
    while world.now < end_at && !world.ledger.stopped() {
        world.run_for(Duration::from_millis(dice.random_range(1..=pace)));
        if let Some(fault) = enabled.choose(&mut dice) {
            throw(&mut world, &mut dice, *fault);
        }
    }
    plan.acts = world.script.take().unwrap_or_default();
    plan.acts.sort_by_key(|planned| planned.at);
    plan.mended_at = world.now;
    end(&mut world);
    let mut report = report(seed, &world);
    report.plan = plan;
    report
}

fn end(world: &mut World) {
    mend_all(world);
    world.run_for(HEALS_WITHIN);
    world.check_liveness();
}

pub(crate) fn report(seed: u64, world: &World) -> Report {
    Report {
        seed,
        hash: world.trace.hash(),
        events: world.events(),
        time: world.time(),
        violations: world.ledger.violations.clone(),
        story: world.trace.lines().map(str::to_owned).collect(),
        deeds: world.deeds().count(),
        plan: Plan::default(),
    }
}

/// The faults stop: what stands between people and their will is taken away, nothing is healed for them.
fn mend_all(world: &mut World) {
    world.happens(Act::LoseDatagrams(0));
    world.happens(Act::SlowBroker(0));
    world.happens(Act::SlowEngine(0));
    world.happens(Act::Refuse(0));
    world.happens(Act::LoseEvents(0));
    world.happens(Act::Window(0));
    for name in world.cut_broker.clone() {
        world.happens(Act::Join(name));
    }
    for (from, to) in world.cut_direct.clone() {
        world.happens(Act::JoinDirect(from, to));
    }
    // Also what a recreation left behind: it runs the same program.
    let names: Vec<_> = world
        .conts
        .iter()
        .filter(|cont| !cont.removed)
        .map(|cont| cont.facts.name.clone())
        .collect();
    for name in names {
        world.happens(Act::Reschedule(name.clone()));
        if let Some(index) = world.find(&name) {
            let nature = &mut world.conts[index].nature;
            nature.crash_after = None;
            nature.start_failures = 0;
            nature.sick = false;
            world.judge(index);
        }
    }
}
