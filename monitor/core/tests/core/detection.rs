//! Silence, witnesses, blindness.

use crate::bench::{Bench, container, millis, name, seconds};
use planaria_core::effect::Effect;
use planaria_core::engine::EventKind;
use planaria_core::id::{BootId, ContainerId};
use planaria_core::input::Input;
use planaria_core::message::{Body, Heartbeat, LastWords, MemberState};

fn group(size: u64) -> Bench {
    let mut containers = Vec::new();
    for number in 1..=size {
        let mut worker = container(&format!("worker-{number}"));
        worker.member = Some(name(&worker.name));
        containers.push(worker);
    }
    let mut bench = Bench::leader(containers);
    for number in 1..=size {
        let worker = name(&format!("worker-{number}"));
        bench.voices.insert(worker.clone(), BootId(100 + number));
        bench.answering.push(worker);
    }
    bench.pass(seconds(20));
    bench.log.clear();
    bench
}

fn silence(bench: &mut Bench, title: &str) {
    bench.voices.remove(&name(title));
    bench.answering.retain(|other| *other != name(title));
}

#[test]
fn a_silent_one_that_answers_no_probe_is_forced_within_the_bound() {
    let mut bench = group(4);
    let settings = planaria_core::settings::Settings::default();
    let config = planaria_core::node::NodeConfig::from_settings(
        &settings,
        name("healer-2"),
        None,
        planaria_core::node::Role::Healer,
    );
    silence(&mut bench, "worker-1");
    bench.pass(planaria_core::node::detection_bound(&config, 0));
    assert!(bench.said("Peer worker-1 missed 2 heartbeats, 1 more until dead"));
    assert!(
        bench.said("Peer worker-1 declared DEAD"),
        "{:?}",
        bench.lines()
    );
    bench.pass(seconds(1));
    assert_eq!(bench.orders(), ["kill 15 worker-1", "start worker-1"]);
    assert!(bench.has(|e| matches!(
        e,
        Effect::Direct {
            body: Body::ProbeRequest { .. },
            ..
        }
    )));
}

#[test]
fn an_observer_that_is_late_itself_waits_longer_and_trusts_itself_again_later() {
    let mut bench = group(4);
    let health = |bench: &Bench| bench.node.status(bench.now).local_health;
    assert_eq!(health(&bench), 0);
    for _ in 0..12 {
        // Its turn comes when it is long due.
        bench.now = bench.now + millis(990);
        bench.feed(Input::Tick);
    }
    assert!(health(&bench) > 0);
    let patient = health(&bench);
    silence(&mut bench, "worker-1");
    let settings = planaria_core::settings::Settings::default();
    let timeout = settings.heartbeat_timeout;
    bench.pass(timeout);
    assert!(!bench.said("is silent"), "{:?}", bench.lines());
    bench.pass(timeout * u32::from(patient) / 4 + seconds(5));
    assert!(bench.said("is silent"), "{:?}", bench.lines());
    bench.pass(seconds(300));
    assert_eq!(health(&bench), 0);
}

#[test]
fn one_that_answers_a_probe_is_isolated_not_dead() {
    let mut bench = group(4);
    bench.voices.remove(&name("worker-1"));
    // Its probes need its boot to be answered in its name.
    bench.pass(seconds(6));
    let nonce = bench.log.iter().rev().find_map(|(_, e)| match e {
        Effect::Direct {
            to,
            body: Body::Probe { nonce },
        } if *to == name("worker-1") => Some(*nonce),
        _ => None,
    });
    if let Some(nonce) = nonce {
        bench.send("worker-1", 101, Body::Ack { nonce });
    }
    bench.pass(seconds(2));
    assert_eq!(bench.state("worker-1"), MemberState::Isolated);
    assert_eq!(bench.orders(), [""; 0]);
}

#[test]
fn one_that_never_answered_a_probe_is_not_condemned_by_its_silence() {
    let mut bench = group(3);
    let mut mute = container("mute-1");
    mute.member = Some(name("mute-1"));
    bench.engine(vec![mute]);
    bench.voices.insert(name("mute-1"), BootId(9));
    bench.pass(seconds(10));
    silence(&mut bench, "mute-1");
    bench.pass(seconds(60));
    assert_eq!(bench.orders(), [""; 0]);
    assert_eq!(bench.state("mute-1"), MemberState::Suspect);
}

#[test]
fn a_witness_that_hears_it_saves_it() {
    let mut bench = group(4);
    silence(&mut bench, "worker-1");
    for _ in 0..60 {
        bench.pass(seconds(1) / 2);
        let asked = bench.log.iter().rev().find_map(|(_, e)| match e {
            Effect::Direct {
                to,
                body: Body::ProbeRequest { target, nonce },
            } => Some((to.clone(), target.clone(), *nonce)),
            _ => None,
        });
        if let Some((relay, target, nonce)) = asked {
            let number: u64 = relay.as_str()[7..].parse().unwrap();
            let report = Body::ProbeReport {
                target,
                boot: BootId(101),
                nonce,
            };
            bench.send(relay.as_str(), 100 + number, report);
        }
    }
    assert_eq!(bench.orders(), [""; 0]);
}

#[test]
fn a_broker_that_stalls_makes_nobody_a_suspect() {
    let mut bench = group(4);
    // The leader's own beats stop coming back, and so does everything else.
    let voices = std::mem::take(&mut bench.voices);
    bench.loops = false;
    bench.pass(seconds(2));
    bench.loops = true;
    bench.voices = voices;
    bench.pass(seconds(60));
    assert_eq!(bench.orders(), [""; 0]);
    assert!(!bench.said("is silent"));
}

#[test]
fn many_at_once_are_a_finding_about_the_observer() {
    let mut bench = group(6);
    for number in 1..=5 {
        silence(&mut bench, &format!("worker-{number}"));
    }
    bench.pass(seconds(15));
    assert!(bench.said("more likely my own hearing"));
    assert_eq!(bench.orders(), [""; 0]);
}

#[test]
fn last_words_are_a_witness_of_their_own() {
    let mut bench = group(3);
    let words = LastWords {
        pulse: "main".into(),
        late_ms: 10_000,
        reason: "pulse".into(),
    };
    bench.say("worker-2", 102, Body::LastWords(words));
    bench.pass(seconds(2));
    assert_eq!(bench.orders(), [""; 0], "it may end by itself");
    bench.pass(seconds(2));
    assert_eq!(bench.orders(), ["kill 15 worker-2", "start worker-2"]);
}

#[test]
fn the_last_words_of_another_life_mean_nothing() {
    let mut bench = group(3);
    let words = LastWords {
        pulse: "main".into(),
        late_ms: 10_000,
        reason: "pulse".into(),
    };
    bench.say("worker-2", 77, Body::LastWords(words));
    bench.pass(seconds(10));
    assert_eq!(bench.orders(), [""; 0]);
}

#[test]
fn one_that_left_is_not_condemned_by_its_silence() {
    let mut bench = group(3);
    silence(&mut bench, "worker-2");
    bench.say("worker-2", 102, Body::Leave);
    bench.pass(seconds(60));
    assert_eq!(bench.orders(), [""; 0]);
}

#[test]
fn a_beat_of_a_life_that_is_over_makes_nobody_alive() {
    let mut bench = group(3);
    bench.kill("worker-2");
    silence(&mut bench, "worker-2");
    bench.voices.insert(name("worker-2"), BootId(500));
    bench.pass(seconds(5));
    assert_eq!(bench.state("worker-2"), MemberState::Alive);
    let before = bench.node.status(bench.now);
    let boot = |status: &planaria_core::status::Status| {
        let found = status.members.iter().find(|m| m.name == name("worker-2"));
        found.and_then(|member| member.boot)
    };
    bench.say("worker-2", 102, Body::Heartbeat(Heartbeat::default()));
    assert_eq!(boot(&before), boot(&bench.node.status(bench.now)));
}

/// Two containers bear the name: what compose left of a recreation runs on beside the new one.
#[test]
fn the_older_of_two_of_a_name_is_the_member_when_the_newer_is_gone() {
    let mut bench = group(3);
    let mut left = container("0123456789ab_worker-2");
    left.id = "0123456789ab".into();
    left.member = Some(name("worker-2"));
    let own = bench.containers["worker-2"].id.clone();
    let (left_id, left_name) = (left.id.clone(), left.name.clone());
    bench.engine(vec![left]);
    let beat = |container: &ContainerId| {
        Body::Heartbeat(Heartbeat {
            container: Some(container.clone()),
            ..Heartbeat::default()
        })
    };
    bench.voices.remove(&name("worker-2"));
    bench.say("worker-2", 102, beat(&own));
    // The end of one is not the end of the other.
    bench.kill(&left_name);
    assert_eq!(bench.state("worker-2"), MemberState::Alive);
    bench.begin(&left_name);
    bench.event(&left_name, EventKind::Start);
    bench.say("worker-2", 500, beat(&left_id));
    bench.kill(&left_name);
    assert_eq!(bench.state("worker-2"), MemberState::Dead);
    // A message may still be on its way from a life that is over.
    bench.say("worker-2", 102, beat(&own));
    assert_eq!(bench.state("worker-2"), MemberState::Dead);
    bench.pass(seconds(4));
    bench.say("worker-2", 102, beat(&own));
    assert_ne!(bench.state("worker-2"), MemberState::Dead);
    bench.say("worker-2", 500, beat(&left_id));
    bench.pass(seconds(2));
    bench.say("worker-2", 102, beat(&own));
    assert_eq!(bench.state("worker-2"), MemberState::Alive);
    assert_eq!(bench.orders(), [""; 0]);
}

#[test]
fn a_new_leader_finds_one_that_its_predecessor_knew() {
    let mut bench = group(4);
    let table = {
        bench.pass(seconds(2));
        bench.last_beat()
    };
    let mut next = Bench::new(planaria_core::node::Role::Healer);
    next.engine(bench.containers.values().cloned().collect());
    next.feed(planaria_core::input::Input::BrokerConnected);
    let mut beat = next.beat_of("healer-3", 3, 5);
    beat.members = table.members;
    next.say("healer-3", 3, Body::Beat(Box::new(beat)));
    next.pass(seconds(4));
    next.feed(planaria_core::input::Input::TokenGranted {
        channel: crate::bench::CHANNEL,
    });
    next.feed(planaria_core::input::Input::HeartbeatsBound);
    next.pass(seconds(20));
    assert_eq!(next.state("worker-1"), MemberState::Suspect);
}
