//! What the chaos monkey tells of its attacks.

use crate::bench::{Bench, container, seconds};
use planaria_core::message::{AttackStage, AttackTold, Body};

fn told(fault: &str, stage: AttackStage) -> Body {
    Body::Attack(Box::new(AttackTold {
        id: "a1b2c3".into(),
        request: None,
        fault: fault.into(),
        target: "plain-1".into(),
        stage,
        text: String::new(),
        at_ms: 0,
        within_ms: Some(15_000),
    }))
}

/// A leader whose plain-1 the monkey has just stopped.
fn stopped() -> Bench {
    let mut bench = Bench::leader(vec![container("plain-1")]);
    bench.say("chaos_monkey", 40, told("stop", AttackStage::Begun));
    bench.stop("plain-1");
    bench.say("chaos_monkey", 40, told("stop", AttackStage::Injected));
    bench.pass(seconds(10));
    assert_eq!(bench.orders(), [""; 0]);
    bench
}

#[test]
fn an_incident_names_the_attack_that_it_is_about() {
    let mut bench = Bench::leader(vec![container("plain-1"), container("plain-2")]);
    bench.say("chaos_monkey", 40, told("kill", AttackStage::Begun));
    bench.kill("plain-1");
    bench.kill("plain-2");
    bench.pass(seconds(5));
    let named: Vec<_> = bench
        .incidents()
        .iter()
        .map(|it| (it.name.clone(), it.notes.get("attack").cloned()))
        .collect();
    assert!(
        named.contains(&("plain-1".into(), Some("a1b2c3".into()))),
        "{named:?}"
    );
    assert!(named.contains(&("plain-2".into(), None)), "{named:?}");
}

#[test]
fn a_stop_that_the_monkey_did_not_live_to_undo_is_undone() {
    let mut bench = stopped();
    bench.pass(seconds(15));
    assert_eq!(bench.orders(), [""; 0], "it is left to the monkey first");
    bench.pass(seconds(10));
    assert_eq!(bench.orders(), ["start plain-1"]);
    assert!(bench.said("does not take it back"));
}

#[test]
fn a_stop_that_the_monkey_took_back_is_forgotten() {
    let mut bench = stopped();
    bench.begin("plain-1");
    bench.say("chaos_monkey", 40, told("stop", AttackStage::Reverted));
    bench.stop("plain-1");
    bench.pass(seconds(120));
    assert_eq!(bench.orders(), [""; 0]);
}

#[test]
fn a_persons_stop_of_the_next_life_is_a_persons_also_where_the_monkey_is_silent() {
    let mut bench = stopped();
    bench.begin("plain-1");
    bench.pass(seconds(3));
    bench.stop("plain-1");
    bench.pass(seconds(120));
    assert_eq!(bench.orders(), [""; 0]);
}

#[test]
fn an_incident_of_a_later_life_is_not_the_attacks() {
    let mut bench = Bench::leader(vec![container("plain-1")]);
    bench.say("chaos_monkey", 40, told("kill", AttackStage::Begun));
    bench.kill("plain-1");
    bench.pass(seconds(60));
    bench.kill("plain-1");
    bench.pass(seconds(60));
    let named: Vec<_> = bench
        .incidents()
        .iter()
        .map(|it| it.notes.contains_key("attack"))
        .collect();
    assert_eq!(named.iter().filter(|named| **named).count(), 1, "{named:?}");
    assert_eq!(named.len(), 2);
}
