//! A checker that never bites proves nothing: each rule is broken on purpose and must be caught.

use planaria_core::message::Verb;
use planaria_sim::{Act, Rule, Sabotage, Stage, World};
use std::time::Duration;

fn caught(sabotage: Sabotage) -> Vec<Rule> {
    let mut stage = Stage::standard();
    stage.sabotage = Some(sabotage);
    let mut world = World::new(5, stage);
    world.run_for(Duration::from_secs(40));
    match sabotage {
        Sabotage::ForceWithoutToken | Sabotage::OrderWithoutIncarnation => {
            world.happens(Act::Kill("worker-1".into(), 19));
        }
        Sabotage::StartTheStopped | Sabotage::StartTheStopping => {
            world.happens(Act::Stop("plain-1".into()));
        }
        Sabotage::CarelessCalls => world.happens(Act::Kill("worker-1".into(), 9)),
        Sabotage::ThawAtOnce => world.happens(Act::Pause("plain-1".into())),
        Sabotage::StartTheHeld => {
            let names = vec!["plain-1".to_owned().try_into().expect("a name")];
            let verb = Verb::Hold {
                names,
                for_s: 600,
                reason: "maintenance".into(),
            };
            world.happens(Act::Ask("healer-1".into(), verb));
            world.run_for(Duration::from_secs(5));
            world.happens(Act::Kill("plain-1".into(), 9));
        }
        Sabotage::StartTheCreated => {
            world.happens(Act::Remove("plain-1".into()));
            world.run_for(Duration::from_secs(1));
            world.happens(Act::Create("plain-1".into()));
        }
        Sabotage::StartWithoutLimit => {
            for _ in 0..12 {
                world.happens(Act::Kill("plain-1".into(), 9));
                world.run_for(Duration::from_secs(1));
            }
        }
        Sabotage::HealsNobody => world.happens(Act::Kill("plain-1".into(), 9)),
        Sabotage::ForceOnTheWell
        | Sabotage::TokenForAll
        | Sabotage::ForgedTerm
        | Sabotage::MemberGivesOrders => {}
    }
    world.run_for(Duration::from_secs(30));
    world.check_liveness();
    world.violations().iter().map(|v| v.rule).collect()
}

#[test]
fn each_broken_rule_is_caught() {
    for (sabotage, rule) in Sabotage::ALL {
        let caught = caught(*sabotage);
        assert!(caught.contains(rule), "{sabotage:?}: only {caught:?}");
    }
}

#[test]
fn without_sabotage_nothing_is_caught() {
    let mut world = World::new(5, Stage::standard());
    world.run_for(Duration::from_secs(120));
    world.check_liveness();
    assert!(world.violations().is_empty(), "{:?}", world.violations());
}
