//! What people are promised of members: expected before they are heard, healed when they are heard, fit while they can act.

use crate::bench::{Bench, container, millis, name, seconds};
use planaria_core::effect::Effect;
use planaria_core::engine::Container;
use planaria_core::id::BootId;
use planaria_core::message::{Body, IncidentOutcome, MemberState};
use planaria_core::node::Role;

fn member(title: &str) -> Container {
    let mut member = container(title);
    member.member = Some(name(title));
    member
}

#[test]
fn one_that_was_never_heard_is_expected_and_not_condemned() {
    let mut bench = Bench::leader(vec![member("worker-1"), member("worker-2")]);
    bench.voices.insert(name("worker-2"), BootId(5));
    bench.pass(seconds(120));
    assert_eq!(bench.state("worker-1"), MemberState::Expected);
    assert_eq!(bench.state("worker-2"), MemberState::Alive);
    assert_eq!(bench.orders(), [""; 0]);
    bench.voices.insert(name("worker-1"), BootId(6));
    bench.pass(seconds(10));
    assert_eq!(bench.state("worker-1"), MemberState::Alive);
}

#[test]
fn a_member_is_healed_only_when_its_new_life_is_heard() {
    let mut bench = Bench::leader(vec![member("worker-1")]);
    bench.voices.insert(name("worker-1"), BootId(5));
    bench.pass(seconds(10));
    bench.voices.clear();
    bench.kill("worker-1");
    bench.pass(seconds(8));
    assert_eq!(bench.orders(), ["start worker-1"]);
    assert!(bench.incidents().is_empty(), "it runs, and was not heard");
    assert_eq!(bench.state("worker-1"), MemberState::Dead);
    bench.voices.insert(name("worker-1"), BootId(6));
    bench.pass(seconds(3));
    let incidents = bench.incidents();
    assert_eq!(incidents.len(), 1);
    assert_eq!(incidents[0].outcome, IncidentOutcome::Healed);
}

#[test]
fn a_leader_without_its_engine_resigns_to_one_that_has_it_and_says_that_it_cannot_heal() {
    let mut bench = Bench::leader(vec![container("plain-1")]);
    let fit = |bench: &Bench| {
        bench.log.iter().rev().find_map(|(_, effect)| match effect {
            Effect::Publish {
                body: Body::Heartbeat(beat),
                ..
            } => Some(beat.healer),
            _ => None,
        })
    };
    bench.pass(seconds(10));
    assert_eq!(fit(&bench), Some(true));
    bench.lose_engine();
    bench.pass(seconds(30));
    // Nobody else could do better.
    assert!(bench.node.status(bench.now).is_leader);
    bench.voices.insert(name("healer-1"), BootId(3));
    bench.pass(seconds(30));
    assert!(!bench.node.status(bench.now).is_leader);
    assert_eq!(fit(&bench), Some(false));
    bench.reconnect_engine();
    bench.pass(seconds(10));
    assert_eq!(fit(&bench), Some(true));
}

#[test]
fn a_candidate_without_its_engine_does_not_stand() {
    let stands = |engine: bool| {
        let mut bench = Bench::new(Role::Healer);
        if engine {
            bench.engine(vec![container("plain-1")]);
        }
        bench.feed(planaria_core::input::Input::BrokerConnected);
        bench.pass(seconds(20));
        bench.has(|effect| matches!(effect, Effect::ConsumeToken { .. }))
    };
    assert!(stands(true));
    assert!(!stands(false));
}

#[test]
fn the_count_of_members_is_told_when_it_changes() {
    let mut bench = Bench::leader(vec![member("worker-1")]);
    bench.voices.insert(name("worker-1"), BootId(5));
    bench.pass(seconds(10) + millis(1));
    assert!(bench.said("Members 2 (was 1)"), "{:?}", bench.lines());
}
