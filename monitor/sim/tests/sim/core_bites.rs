//! The core itself with one broken rule: each must be caught by the invariant that it breaks.

use planaria_core::Sabotage;
use planaria_core::message::Verb;
use planaria_sim::{Act, Rule, Stage, World};
use std::time::Duration;

/// Each broken rule, and the invariants of which one must catch it.
const BROKEN: &[(Sabotage, &[Rule])] = &[
    (Sabotage::NoFence, &[Rule::OneForceUser, Rule::Office]),
    (Sabotage::KeepOffice, &[Rule::OneForceUser, Rule::Office]),
    (Sabotage::NoWait, &[Rule::Office]),
    (Sabotage::AnyIncarnation, &[Rule::Incarnation]),
    (Sabotage::IgnoreStop, &[Rule::Intent]),
    (Sabotage::StartStopping, &[Rule::Intent]),
    (Sabotage::OneWitness, &[Rule::Evidence]),
    (Sabotage::HealCreated, &[Rule::Patients]),
    (Sabotage::IgnoreHold, &[Rule::Hold]),
    (Sabotage::NoLimit, &[Rule::Intensity]),
    (Sabotage::TellAgain, &[Rule::Told]),
    (Sabotage::SameTerm, &[Rule::Terms]),
    (Sabotage::MemberSpeaks, &[Rule::Permission]),
    (Sabotage::HealNobody, &[Rule::Liveness]),
    (Sabotage::Spin, &[Rule::Spins]),
];

/// What one broken rule needs to show itself depends on delays: so many worlds are tried.
const WORLDS: u64 = 8;

fn wait(world: &mut World, seconds: u64) {
    world.run_for(Duration::from_secs(seconds));
}

fn caught(seed: u64, sabotage: Sabotage) -> Vec<Rule> {
    let mut stage = Stage::standard();
    stage.core = Some(sabotage);
    let mut world = World::new(seed, stage);
    wait(&mut world, 40);
    let leader = world.leader().unwrap_or_else(|| "healer-3".to_owned());
    match sabotage {
        Sabotage::NoFence => {
            world.happens(Act::Deschedule(leader.clone()));
            wait(&mut world, 15);
            world.happens(Act::Reschedule(leader));
            wait(&mut world, 5);
            world.happens(Act::Kill("worker-1".into(), 19));
        }
        Sabotage::KeepOffice => {
            world.happens(Act::CloseChannel(leader));
            wait(&mut world, 5);
            world.happens(Act::Kill("worker-1".into(), 19));
        }
        Sabotage::NoWait => {
            world.happens(Act::Kill("worker-1".into(), 19));
            wait(&mut world, 1);
            world.happens(Act::CloseChannel(leader));
        }
        Sabotage::AnyIncarnation => world.happens(Act::Kill("worker-1".into(), 19)),
        Sabotage::IgnoreStop | Sabotage::StartStopping => {
            world.happens(Act::Stop("plain-1".into()));
        }
        // It lives and answers probes: only its way to the broker is cut.
        Sabotage::OneWitness => world.happens(Act::Cut("worker-1".into())),
        Sabotage::HealCreated => {
            world.happens(Act::Remove("plain-1".into()));
            wait(&mut world, 1);
            world.happens(Act::Create("plain-1".into()));
        }
        Sabotage::IgnoreHold => {
            let names = vec!["plain-1".to_owned().try_into().expect("a name")];
            let verb = Verb::Hold {
                names,
                for_s: 600,
                reason: "maintenance".into(),
            };
            world.happens(Act::Ask("healer-1".into(), verb));
            wait(&mut world, 5);
            world.happens(Act::Kill("plain-1".into(), 9));
        }
        Sabotage::NoLimit => {
            for _ in 0..12 {
                world.happens(Act::Kill("plain-1".into(), 9));
                wait(&mut world, 1);
            }
        }
        Sabotage::TellAgain => {
            world.happens(Act::CrashLoop("plain-1".into(), 500));
            while world.alerts("quarantined") == 0 {
                wait(&mut world, 1);
            }
            wait(&mut world, 20);
            world.happens(Act::Kill(leader, 9));
        }
        Sabotage::SameTerm => world.happens(Act::Kill(leader, 9)),
        Sabotage::HealNobody => world.happens(Act::Kill("plain-1".into(), 9)),
        Sabotage::MemberSpeaks | Sabotage::Spin => {}
    }
    wait(&mut world, 60);
    world.check_liveness();
    world.violations().iter().map(|v| v.rule).collect()
}

#[test]
fn each_rule_that_the_core_breaks_is_caught() {
    let mut missed = Vec::new();
    for (sabotage, rules) in BROKEN {
        let mut seen = Vec::new();
        let bites = (1..=WORLDS).any(|seed| {
            seen = caught(seed, *sabotage);
            rules.iter().any(|rule| seen.contains(rule))
        });
        if !bites {
            missed.push(format!("{sabotage:?}: only {seen:?}"));
        }
    }
    assert!(missed.is_empty(), "{missed:#?}");
}

#[test]
fn a_core_that_breaks_nothing_is_not_blamed() {
    let mut world = World::new(1, Stage::standard());
    wait(&mut world, 100);
    world.check_liveness();
    assert!(world.violations().is_empty(), "{:?}", world.violations());
}
