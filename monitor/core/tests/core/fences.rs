//! Lives that a person declared dead, clocks that differ, queues that are gone, and what every healer keeps.

use crate::bench::{Bench, container, name, seconds};
use planaria_core::effect::Effect;
use planaria_core::id::{BootId, RequestId};
use planaria_core::input::Input;
use planaria_core::message::{Body, Fence, Heartbeat, MemberState, Verb};
use planaria_core::node::Role;

fn fence(bench: &mut Bench, whom: &str) -> bool {
    bench.feed(Input::Request {
        id: RequestId("1".to_owned()),
        verb: Verb::Fence {
            name: name(whom),
            reason: "it lies".to_owned(),
        },
    });
    bench
        .log
        .iter()
        .rev()
        .find_map(|(_, effect)| match effect {
            Effect::Answer { outcome, .. } => Some(outcome.accepted),
            _ => None,
        })
        .unwrap()
}

fn worker() -> planaria_core::engine::Container {
    let mut worker = container("worker-1");
    worker.member = Some(name("worker-1"));
    worker
}

#[test]
fn an_older_life_that_is_heard_again_frees_no_younger_one() {
    let mut bench = Bench::leader(vec![worker()]);
    bench.say("worker-1", 10, Body::Heartbeat(Heartbeat::default()));
    bench.say("worker-1", 11, Body::Heartbeat(Heartbeat::default()));
    bench.answers = false;
    assert!(fence(&mut bench, "worker-1"));
    bench.pass(seconds(4));
    bench.say("worker-1", 10, Body::Heartbeat(Heartbeat::default()));
    assert_ne!(bench.state("worker-1"), MemberState::Dead);
    bench.pass(seconds(1));
    assert_eq!(bench.last_beat().fences.len(), 1);
}

#[test]
fn a_fenced_life_is_killed_and_started_and_not_listened_to() {
    let mut bench = Bench::leader(vec![worker()]);
    bench.voices.insert(name("worker-1"), BootId(11));
    bench.pass(seconds(10));
    bench.log.clear();
    assert!(fence(&mut bench, "worker-1"));
    assert_eq!(
        bench.last_beat().fences.len(),
        1,
        "the group hears of it at once"
    );
    bench.pass(seconds(3));
    assert_eq!(bench.orders(), ["kill 15 worker-1", "start worker-1"]);
    assert_ne!(
        bench.state("worker-1"),
        MemberState::Alive,
        "the old life goes on talking"
    );
    bench.voices.insert(name("worker-1"), BootId(12));
    bench.pass(seconds(5));
    assert_eq!(bench.state("worker-1"), MemberState::Alive);
    assert!(bench.last_beat().fences.is_empty(), "the next life is free");
    assert_eq!(bench.orders().len(), 2);
}

#[test]
fn nobody_is_fenced_that_is_not_heard_nor_a_lone_leader() {
    let mut bench = Bench::leader(vec![worker()]);
    assert!(!fence(&mut bench, "worker-1"));
    assert!(!fence(&mut bench, "healer-2"));
    assert_eq!(bench.orders(), [""; 0]);
}

#[test]
fn a_fenced_leader_tells_everyone_and_lays_its_office_down_for_good() {
    let mut bench = Bench::leader(vec![container("plain-1")]);
    bench.voices.insert(name("healer-1"), BootId(21));
    bench.pass(seconds(5));
    let mut beat = bench.beat_of("healer-1", 21, 1);
    beat.term.number = 0;
    bench.pass(seconds(1));
    bench.log.clear();
    // It knows its peers from the ranks of its own beats.
    assert!(fence(&mut bench, "healer-2"));
    assert!(bench.has(|e| matches!(
        e,
        Effect::Publish {
            body: Body::Resign { .. },
            ..
        }
    )));
    bench.log.clear();
    bench.kill("plain-1");
    bench.pass(seconds(60));
    assert_eq!(bench.orders(), [""; 0]);
    assert!(!bench.has(|e| matches!(e, Effect::ConsumeToken { .. })));
}

#[test]
fn a_follower_that_hears_of_its_own_fence_acts_on_nothing() {
    let mut bench = Bench::new(Role::Healer);
    bench.engine(vec![container("plain-1")]);
    bench.feed(Input::BrokerConnected);
    let mut beat = bench.beat_of("healer-3", 3, 5);
    beat.fences.push(Fence {
        name: name("healer-2"),
        boot: BootId(2),
        reason: "it lies".to_owned(),
    });
    bench.say("healer-3", 3, Body::Beat(Box::new(beat)));
    bench.pass(seconds(30));
    bench.kill("plain-1");
    bench.pass(seconds(60));
    assert_eq!(bench.orders(), [""; 0]);
    assert!(!bench.has(|e| matches!(e, Effect::ConsumeToken { .. })));
}

fn clock(bench: &mut Bench, number: u64, unix_ms: u64) {
    let beat = Heartbeat {
        number,
        unix_ms,
        ..Heartbeat::default()
    };
    bench.say("worker-1", 11, Body::Heartbeat(beat));
    bench.pass(seconds(1));
}

#[test]
fn a_skewed_clock_is_told_once_an_episode_and_changes_nothing() {
    let mut bench = Bench::leader(vec![worker()]);
    let wall = 1_700_000_000_000;
    bench.feed(Input::Vitals {
        unix_ms: wall,
        pulse_age_ms: 0,
    });
    for second in 0..10 {
        clock(&mut bench, second, wall + 1000 * second + 60_000);
    }
    assert_eq!(bench.alerts("clock_skew"), 1);
    let status = bench.node.status(bench.now);
    let view = status
        .members
        .iter()
        .find(|m| m.name == name("worker-1"))
        .unwrap();
    assert!(
        (59_000..61_000).contains(&view.skew_ms.unwrap()),
        "{:?}",
        view.skew_ms
    );
    for second in 10..20 {
        clock(&mut bench, second, wall + 1000 * second);
    }
    for second in 20..30 {
        clock(&mut bench, second, wall + 1000 * second - 60_000);
    }
    assert_eq!(bench.alerts("clock_skew"), 2);
    assert_eq!(bench.orders(), [""; 0]);
}

#[test]
fn a_late_member_is_asked_through_its_queue_and_a_missing_queue_is_only_a_sign() {
    let mut bench = Bench::leader(vec![worker()]);
    bench.voices.insert(name("worker-1"), BootId(11));
    bench.voices.insert(name("worker-2"), BootId(12));
    bench.answering = vec![name("worker-1"), name("worker-2")];
    bench.pass(seconds(20));
    bench.voices.remove(&name("worker-1"));
    bench.log.clear();
    bench.pass(seconds(4));
    assert!(bench.has(|e| matches!(
        e,
        Effect::Mandatory { to, boot: BootId(11), .. } if *to == name("worker-1")
    )));
    // Of another life: nothing follows.
    bench.feed(Input::Unroutable {
        member: name("worker-1"),
        boot: BootId(10),
    });
    bench.pass(seconds(1));
    assert_eq!(bench.state("worker-1"), MemberState::Late);
    bench.feed(Input::Unroutable {
        member: name("worker-1"),
        boot: BootId(11),
    });
    bench.pass(seconds(1));
    assert!(
        bench.said("worker-1 is silent"),
        "suspected before its time"
    );
    bench.pass(seconds(5));
    assert_eq!(
        bench.state("worker-1"),
        MemberState::Isolated,
        "it answers probes"
    );
    assert_eq!(bench.orders(), [""; 0]);
}

#[test]
fn a_question_through_the_queue_is_answered_with_a_heartbeat() {
    let mut bench = Bench::new(Role::Member);
    bench.feed(Input::BrokerConnected);
    bench.log.clear();
    bench.say("healer-3", 3, Body::Probe { nonce: 1 });
    assert!(bench.has(|e| matches!(
        e,
        Effect::Publish {
            body: Body::Heartbeat(_),
            ..
        }
    )));
}

#[test]
fn what_was_healed_is_known_to_every_healer_also_to_one_that_came_later() {
    let mut leader = Bench::leader(vec![container("plain-1")]);
    leader.kill("plain-1");
    leader.pass(seconds(30));
    let mut beat = leader.last_beat();
    beat.term.boot = BootId(22);
    assert_eq!(beat.incidents.len(), 1, "an older one in turn");
    let mut late = Bench::with(Role::Healer, None, |config| config.name = name("healer-1"));
    late.feed(Input::BrokerConnected);
    for _ in 0..3 {
        late.say("healer-2", 22, Body::Beat(Box::new(beat.clone())));
    }
    let known = late.node.status(late.now).incidents;
    assert_eq!(known.len(), 1);
    assert_eq!(known[0].by, name("healer-2"));
}

#[test]
fn the_age_of_the_oldest_pulse_is_told() {
    let mut bench = Bench::new(Role::Member);
    bench.feed(Input::Vitals {
        unix_ms: 5,
        pulse_age_ms: 321,
    });
    bench.feed(Input::BrokerConnected);
    assert!(bench.has(
        |e| matches!(e, Effect::Publish { body: Body::Heartbeat(beat), .. } if beat.pulse_age_ms == 321)
    ));
}
